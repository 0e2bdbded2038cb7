/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines between 'vmctl migrate' and 'vmctl receive'. */
#include "vmms/vmctl/migration.h"

#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

int migration_write(int fd, struct json_object *tree)
{
	const char *text =
		tree ? json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN) : NULL;
	int r = text ? file_write_all(fd, text, strlen(text)) : -ENOMEM;

	json_object_put(tree);
	return r < 0 ? r : file_write_all(fd, "\n", 1);
}

/* A byte at a time, for what follows is the workers'. Return: bytes before the newline; -errno. */
static ssize_t migration_read_line(int fd, char *bytes)
{
	ssize_t size = 0;

	while (size < MIGRATION_LINE_MAX) {
		ssize_t r = read(fd, bytes + size, 1);

		if (r < 0 && errno == EINTR)
			continue;
		/* Of a socket in which something was left unread. */
		if (r == 0 || (r < 0 && errno == ECONNRESET))
			return -ENODATA;
		if (r < 0)
			return -errno;
		if (bytes[size] == '\n')
			return size;
		size++;
	}
	return -EPROTO;
}

int migration_read(int fd, struct json_object **ret_tree)
{
	AUTO_FREE char *bytes = malloc(MIGRATION_LINE_MAX);
	AUTO_JSON struct json_object *tree = NULL;
	struct json_object *protocol;
	struct json_error error;
	ssize_t size;
	int r;

	if (!bytes)
		return -ENOMEM;
	size = migration_read_line(fd, bytes);
	if (size < 0)
		return (int)size;
	r = json_parse(bytes, (size_t)size, &tree, &error);
	if (r < 0)
		return r == -EINVAL ? -EPROTO : r;
	if (!json_object_object_get_ex(tree, "protocol", &protocol) ||
	    json_object_get_int64(protocol) != MIGRATION_PROTOCOL)
		return -EPROTO;
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

void migration_boot_id(char text[static MIGRATION_BOOT_ID_SIZE])
{
	AUTO_CLOSE int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, text, MIGRATION_BOOT_ID_SIZE - 1);

	text[size > 0 ? size : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

struct json_object *migration_key_to_json(const uint8_t key[static MIGRATION_KEY_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * MIGRATION_KEY_SIZE];

	for (size_t i = 0; i < MIGRATION_KEY_SIZE; i++) {
		text[2 * i] = digits[key[i] >> 4];
		text[2 * i + 1] = digits[key[i] & 15];
	}
	return json_object_new_string_len(text, sizeof(text));
}

static int migration_digit(char digit)
{
	return digit >= '0' && digit <= '9'   ? digit - '0'
	       : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
					      : -EINVAL;
}

int migration_key_parse(const char *text, uint8_t ret_key[static MIGRATION_KEY_SIZE])
{
	if (strlen(text) != 2 * MIGRATION_KEY_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < MIGRATION_KEY_SIZE; i++) {
		int high = migration_digit(text[2 * i]), low = migration_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		ret_key[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
