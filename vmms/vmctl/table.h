/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables for people, and JSON for programs, on standard output. Whatever is printed is escaped.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#include <stddef.h>

struct table;

/* titles: one for each column, at most 16. NULL without memory. */
struct table *table_new(const char *const *titles, size_t columns);
void table_free(struct table *table);

/* The next cell, row by row; without memory the table stays short. */
void table_add(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);

/* Columns are as wide as their widest cell; the last one is not filled up. */
void table_print(const struct table *table);

/* The same, with lines that are cut where they are wider than that many columns; 0: none is. */
void table_print_within(const struct table *table, size_t width);

/* The columns of the terminal that standard output is; 0: it is none. */
size_t table_terminal_width(void);

/*
 * JSON, pretty, with what terminals would obey escaped as JSON does it; freed by the caller. Takes
 * over the tree. NULL without memory, also if the tree is NULL.
 */
char *json_text_new(struct json_object *tree);

/* The same, printed. Return: 0; -ENOMEM. */
int json_print(struct json_object *tree) MUST_CHECK;
