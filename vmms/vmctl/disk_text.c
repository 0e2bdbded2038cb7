/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks and paths as they are written on the command line. */
#include "vmms/vmctl/disk_text.h"

#include "common/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

char *absolute_path(const char *path)
{
	AUTO_FREE char *directory = NULL;
	char *absolute;

	if (path[0] == '/')
		return strdup(path);
	directory = getcwd(NULL, 0);
	if (!directory || asprintf(&absolute, "%s/%s", directory, path) < 0)
		return NULL;
	return absolute;
}

/* The words after the path. */
static const struct {
	const char *word; /* up to and with its '=' */
	const char *key;
	enum json_type type;
} words[] = {
	{ "ro", "read_only", json_type_boolean },
	{ "serial=", "serial", json_type_string },
	{ "cache=", "cache", json_type_string },
	{ "sector-size=", "sector_size", json_type_int },
	{ "controller=", "controller", json_type_int },
	{ "lun=", "lun", json_type_int },
};

/* Return: 0; -EINVAL. */
static int add_word(struct json_object **disk, const char *word)
{
	uint64_t number;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t length = strlen(words[i].word);

		if (strncmp(word, words[i].word, length) != 0)
			continue;
		if (words[i].type == json_type_boolean && word[length] == '\0')
			json_add(disk, words[i].key, json_object_new_boolean(true));
		else if (words[i].type == json_type_string)
			json_add(disk, words[i].key, json_object_new_string(word + length));
		else if (words[i].type == json_type_int &&
			 parse_unsigned(word + length, 0, UINT16_MAX, &number) == 0)
			json_add(disk, words[i].key, json_object_new_int64((int64_t)number));
		else
			return -EINVAL;
		return 0;
	}
	return -EINVAL;
}

static int add_words(struct json_object **disk, char *at, char **ret_word)
{
	char *word;

	while ((word = strsep(&at, ","))) {
		if (add_word(disk, word) == 0)
			continue;
		*ret_word = strdup(word);
		return *ret_word ? -EINVAL : -ENOMEM;
	}
	return 0;
}

int disk_text_parse(const char *text, struct json_object **ret_disk, char **ret_word)
{
	AUTO_JSON struct json_object *disk = json_object_new_object();
	AUTO_FREE char *copy = strdup(text), *path = NULL;
	char *rest = copy;
	int r = 0;

	if (!copy)
		return -ENOMEM;
	path = absolute_path(strsep(&rest, ","));
	json_add(&disk, "path", path ? json_object_new_string(path) : NULL);
	if (rest)
		r = add_words(&disk, rest, ret_word);
	if (r < 0)
		return r;
	if (!disk)
		return -ENOMEM;
	*ret_disk = TAKE_PTR(disk);
	return 0;
}
