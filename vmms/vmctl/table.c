/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables for people, and JSON for programs. */
#include "vmms/vmctl/table.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COLUMN_GAP  2
#define COLUMNS_MAX 16

struct table {
	size_t columns, count;
	char **cells; /* escaped; the titles are the first row */
};

/* Takes over the text. */
static void append(struct table *table, char *text)
{
	char **cells = text ? reallocarray(table->cells, table->count + 1, sizeof(*cells)) : NULL;

	if (!cells) {
		free(text);
		return;
	}
	table->cells = cells;
	cells[table->count++] = text;
}

struct table *table_new(const char *const *titles, size_t columns)
{
	struct table *table = columns <= COLUMNS_MAX ? calloc(1, sizeof(*table)) : NULL;

	if (!table)
		return NULL;
	table->columns = columns;
	for (size_t i = 0; i < columns; i++)
		append(table, strdup(titles[i]));
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

void table_add(struct table *table, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	append(table, text ? text_escape_new(text, strlen(text)) : NULL);
}

static void measure(const struct table *table, size_t widths[COLUMNS_MAX])
{
	for (size_t i = 0; i < table->count; i++) {
		size_t *width = &widths[i % table->columns];

		*width = MAX(*width, text_columns(table->cells[i]));
	}
}

static bool row_is_empty_from(const struct table *table, size_t cell)
{
	for (size_t i = cell; i < table->count; i++) {
		if (table->cells[i][0] != '\0')
			return false;
		if (i % table->columns == table->columns - 1)
			break;
	}
	return true;
}

void table_print(const struct table *table)
{
	size_t widths[COLUMNS_MAX] = { 0 };

	measure(table, widths);
	for (size_t i = 0; i < table->count; i++) {
		const char *cell = table->cells[i];
		size_t column = i % table->columns;
		bool last = column == table->columns - 1 || i == table->count - 1;

		fputs(cell, stdout);
		if (!last && !row_is_empty_from(table, i + 1))
			printf("%*s", (int)(widths[column] - text_columns(cell) + COLUMN_GAP), "");
		if (last)
			putchar('\n');
	}
}

char *json_text_new(struct json_object *tree)
{
	AUTO_JSON struct json_object *owned = tree;
	const char *text;

	if (!owned)
		return NULL;
	text = json_object_to_json_string_ext(owned, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_SPACED |
							     JSON_C_TO_STRING_NOSLASHESCAPE);
	return text ? text_escape_json_new(text, strlen(text)) : NULL;
}

int json_print(struct json_object *tree)
{
	AUTO_FREE char *safe = json_text_new(tree);

	if (!safe)
		return -ENOMEM;
	puts(safe);
	return 0;
}
