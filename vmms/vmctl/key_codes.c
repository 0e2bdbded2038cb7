/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys by their names, and text by the keys of a US keyboard. */
#include "vmms/vmctl/key_codes.h"

#include "common/base/key_map.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define UP 0x20000u
#define E0 0x40000u

#define SHIFT ((uint32_t)KEY_MAP_SHIFT)

static const struct {
	const char *name;
	uint32_t code;
} names[] = {
	{ "esc", 0x01 },         { "minus", 0x0c },
	{ "equal", 0x0d },       { "backspace", 0x0e },
	{ "tab", 0x0f },         { "enter", 0x1c },
	{ "ctrl", 0x1d },        { "shift", SHIFT },
	{ "rshift", 0x36 },      { "alt", 0x38 },
	{ "space", 0x39 },       { "capslock", 0x3a },
	{ "f1", 0x3b },          { "f2", 0x3c },
	{ "f3", 0x3d },          { "f4", 0x3e },
	{ "f5", 0x3f },          { "f6", 0x40 },
	{ "f7", 0x41 },          { "f8", 0x42 },
	{ "f9", 0x43 },          { "f10", 0x44 },
	{ "numlock", 0x45 },     { "scrolllock", 0x46 },
	{ "f11", 0x57 },         { "f12", 0x58 },
	{ "sysrq", 0x54 },       { "rctrl", E0 | 0x1d },
	{ "ralt", E0 | 0x38 },   { "altgr", E0 | 0x38 },
	{ "home", E0 | 0x47 },   { "up", E0 | 0x48 },
	{ "pageup", E0 | 0x49 }, { "left", E0 | 0x4b },
	{ "right", E0 | 0x4d },  { "end", E0 | 0x4f },
	{ "down", E0 | 0x50 },   { "pagedown", E0 | 0x51 },
	{ "insert", E0 | 0x52 }, { "delete", E0 | 0x53 },
	{ "del", E0 | 0x53 },    { "meta", E0 | 0x5b },
	{ "menu", E0 | 0x5d },
};

static uint32_t code_of_name(const char *name, size_t length)
{
	uint32_t code;
	bool shift;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i].name) == length &&
		    strncasecmp(names[i].name, name, length) == 0)
			return names[i].code;
	code = length == 1 ? key_map_find(name[0], &shift) : 0;
	return code && !shift ? code : 0;
}

/* What has gone down goes up. */
static void release(struct key_codes *codes)
{
	for (size_t down = codes->count; down > 0; down--)
		codes->codes[codes->count++] = codes->codes[down - 1] | UP;
}

int key_codes_of_combination(const char *combination, struct key_codes *ret_codes)
{
	struct key_codes codes = { 0 };

	for (const char *name = combination;; name += strcspn(name, "-") + 1) {
		size_t length = strcspn(name, "-");
		uint32_t code = code_of_name(name, length);

		if (code == 0 || codes.count == KEY_CODES_MAX / 2)
			return -EINVAL;
		codes.codes[codes.count++] = code;
		if (name[length] == '\0')
			break;
	}
	release(&codes);
	*ret_codes = codes;
	return 0;
}

int key_codes_of_character(char character, struct key_codes *ret_codes)
{
	struct key_codes codes = { 0 };
	bool shift;
	uint32_t code = key_map_find(character, &shift);

	if (code == 0)
		return -EINVAL;
	if (shift)
		codes.codes[codes.count++] = SHIFT;
	codes.codes[codes.count++] = code;
	release(&codes);
	*ret_codes = codes;
	return 0;
}
