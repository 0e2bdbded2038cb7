/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables for people, and JSON for programs. */
#include "vmms/vmctl/table.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMN_GAP  2
#define COLUMNS_MAX 16

struct table {
	size_t columns, count;
	char **cells; /* escaped; the titles are the first row */
};

/* Takes over the text. */
static void table_append(struct table *table, char *text)
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
		table_append(table, strdup(titles[i]));
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
	table_append(table, text ? text_escape_new(text, strlen(text)) : NULL);
}

static void table_measure(const struct table *table, size_t widths[COLUMNS_MAX])
{
	for (size_t i = 0; i < table->count; i++) {
		size_t *width = &widths[i % table->columns];

		*width = MAX(*width, text_columns(table->cells[i]));
	}
}

static bool table_row_is_empty_from(const struct table *table, size_t cell)
{
	for (size_t i = cell; i < table->count; i++) {
		if (table->cells[i][0] != '\0')
			return false;
		if (i % table->columns == table->columns - 1)
			break;
	}
	return true;
}

/* Prints as much of the cell as there is room for. Return: columns taken. */
static size_t table_print_cell(const char *cell, size_t room)
{
	static const char cut[] = "…";
	size_t columns = text_columns(cell), kept = 0;

	if (columns <= room) {
		fputs(cell, stdout);
		return columns;
	}
	for (size_t i = 0; i + 1 < room; i++) {
		size_t length;

		(void)text_utf8_decode(cell + kept, strlen(cell + kept), &length);
		kept += length;
	}
	printf("%.*s%s", (int)kept, cell, room > 0 ? cut : "");
	return room;
}

void table_print_within(const struct table *table, size_t width)
{
	size_t widths[COLUMNS_MAX] = { 0 }, room = 0;

	table_measure(table, widths);
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns, used, gap;
		bool last = column == table->columns - 1 || i == table->count - 1;

		if (column == 0)
			room = width > 0 ? width : SIZE_MAX;
		used = table_print_cell(table->cells[i], room);
		room -= used;
		if (!last && !table_row_is_empty_from(table, i + 1)) {
			gap = MIN(widths[column] - used + COLUMN_GAP, room);
			printf("%*s", (int)gap, "");
			room -= gap;
		}
		if (last)
			putchar('\n');
	}
}

void table_print(const struct table *table)
{
	table_print_within(table, 0);
}

size_t table_terminal_width(void)
{
	struct winsize size = { 0 };

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
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
