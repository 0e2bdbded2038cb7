/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Some of the host's CPUs, by the numbers that the kernel gives them: "0-3,8".
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/base/number_set.h"

#include <stdbool.h>
#include <stdint.h>

#define CPU_LIST_MAX  1024 /* CPUs beyond are not known here, nor in the C library's cpu_set_t */
#define CPU_LIST_TEXT 2560 /* "0-3,8"; every list fits */

struct cpu_list {
	uint64_t bits[NUMBER_SET_WORDS(CPU_LIST_MAX)];
};

/* Return: 0; -EINVAL, of an empty text, too; -ERANGE: a CPU that is not known here. */
int cpu_list_parse(const char *text, struct cpu_list *ret_list) MUST_CHECK;
void cpu_list_format(const struct cpu_list *list, char text[static CPU_LIST_TEXT]);

bool cpu_list_is_empty(const struct cpu_list *list);

/* Those of a list that another one lacks. */
void cpu_list_subtract(const struct cpu_list *list, const struct cpu_list *other,
		       struct cpu_list *ret_missing);

/* A json_read_fn: a struct cpu_list, which is not empty. A lone CPU may be a number. */
int cpu_list_read(struct json_reader *reader, const struct json_key *key, struct json_object *value,
		  void *target);

/* New reference; NULL without memory. */
struct json_object *cpu_list_to_json(const struct cpu_list *list);

/*
 * The CPUs of this host that run, as /sys/devices/system/cpu/online has them. Return: 0; -errno.
 * It opens a file.
 */
int cpu_list_online(struct cpu_list *ret_list) MUST_CHECK;
