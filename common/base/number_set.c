/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of small numbers, read and written. */
#include "common/base/number_set.h"

#include "common/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RANGE_MAX 16 /* bytes of "FIRST-LAST" and its NUL; more would be zeros before them */

/* "3" or "0-3", of `size` bytes. */
static int parse_range(const char *text, size_t size, unsigned limit, uint64_t *ret_first,
		       uint64_t *ret_last)
{
	char range[RANGE_MAX], *dash;
	int r;

	if (size >= sizeof(range))
		return -EINVAL;
	memcpy(range, text, size);
	range[size] = '\0';
	dash = strchr(range, '-');
	if (dash)
		*dash = '\0';
	r = parse_unsigned(range, 0, limit - 1, ret_first);
	if (r < 0)
		return r;
	*ret_last = *ret_first;
	if (dash)
		r = parse_unsigned(dash + 1, 0, limit - 1, ret_last);
	return r == 0 && *ret_last < *ret_first ? -EINVAL : r;
}

/* words: NULL: it is only looked at. */
static int read_ranges(const char *text, uint64_t *words, unsigned limit)
{
	for (;;) {
		size_t size = strcspn(text, ",");
		uint64_t first, last;
		int r = parse_range(text, size, limit, &first, &last);

		if (r < 0)
			return r;
		for (; words && first <= last; first++)
			number_set_add(words, (unsigned)first);
		if (text[size] == '\0')
			return 0;
		text += size + 1;
	}
}

int number_set_parse(const char *text, uint64_t *words, unsigned limit)
{
	int r = read_ranges(text, NULL, limit);

	if (r < 0)
		return r;
	memset(words, 0, NUMBER_SET_WORDS(limit) * sizeof(*words));
	return read_ranges(text, words, limit);
}

void number_set_format(const uint64_t *words, unsigned limit, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned number = 0; number < limit && used < size; number++) {
		unsigned first = number;

		if (!number_set_has(words, number))
			continue;
		while (number + 1 < limit && number_set_has(words, number + 1))
			number++;
		used += (size_t)snprintf(text + used, size - used,
					 first == number ? "%s%u" : "%s%u-%u", used > 0 ? "," : "",
					 first, number);
	}
}
