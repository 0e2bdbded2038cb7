/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers and sizes as people write them. */
#include "common/base/parse.h"

#include "common/base/cc.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char size_units[] = "KMGT"; /* each 1024 times the one before; K is 1024 */

static int parse_digits(const char *text, uint64_t *ret_value, const char **ret_end)
{
	uint64_t value = 0;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		if (MUL_OVERFLOWS(value, (uint64_t)10, &value) ||
		    ADD_OVERFLOWS(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	}
	*ret_value = value;
	*ret_end = text;
	return 0;
}

int parse_unsigned(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_value)
{
	const char *end;
	uint64_t value;
	int r;

	r = parse_digits(text, &value, &end);
	if (r < 0)
		return r;
	if (*end != '\0')
		return -EINVAL;
	if (value < minimum || value > maximum)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	const char *end, *unit;
	uint64_t bytes;
	int r;

	r = parse_digits(text, &bytes, &end);
	if (r < 0)
		return r;
	if (*end != '\0') {
		unit = strchr(size_units, toupper((unsigned char)*end));
		if (!unit || (end[1] != '\0' && strcasecmp(end + 1, "iB") != 0))
			return -EINVAL;
		if (MUL_OVERFLOWS(bytes, UINT64_C(1024) << 10 * (unit - size_units), &bytes))
			return -ERANGE;
	}
	if (bytes > INT64_MAX)
		return -ERANGE;
	*ret_bytes = bytes;
	return 0;
}

bool parse_size_guess(const char *text, uint64_t minimum, uint64_t maximum,
		      char guess[static PARSE_SIZE_TEXT])
{
	static const struct {
		char unit;
		uint64_t size;
	} units[] = { { 'M', UINT64_C(1) << 20 }, { 'G', UINT64_C(1) << 30 } };
	uint64_t number;

	guess[0] = '\0';
	if (parse_unsigned(text, 1, UINT16_MAX, &number) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t bytes = number * units[i].size;

		if (bytes < minimum || bytes > maximum)
			continue;
		snprintf(guess, PARSE_SIZE_TEXT, "%llu%c", (unsigned long long)number,
			 units[i].unit);
		return true;
	}
	return false;
}

void parse_size_format(uint64_t bytes, char text[PARSE_SIZE_TEXT])
{
	char unit[2] = "";

	for (size_t i = 0; size_units[i] != '\0' && bytes != 0 && bytes % 1024 == 0; i++) {
		bytes /= 1024;
		unit[0] = size_units[i];
	}
	snprintf(text, PARSE_SIZE_TEXT, "%llu%s", (unsigned long long)bytes, unit);
}
