/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks and paths as they are written on the command line. */
#include "vmms/vmctl/disk_text.h"

#include "common/base/parse.h"
#include "common/base/path.h"
#include "common/image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char *absolute_path(const char *path)
{
	AUTO_FREE char *directory = NULL;
	char *absolute;

	/* Nothing stays nothing, which whoever reads it refuses. */
	if (path[0] == '/' || path[0] == '\0')
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
	{ "on-error=", "on_error", json_type_string },
	{ "iops=", "iops", json_type_int },
	{ "bandwidth=", "bandwidth", json_type_string },
	{ "format=", "format", json_type_string },
	{ "controller=", "controller", json_type_int },
	{ "lun=", "lun", json_type_int },
};

/* Return: 0; -EINVAL. */
static int text_add_word(struct json_object **disk, const char *word)
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
			 parse_unsigned(word + length, 0, UINT32_MAX, &number) == 0)
			json_add(disk, words[i].key, json_object_new_int64((int64_t)number));
		else
			return -EINVAL;
		return 0;
	}
	return -EINVAL;
}

static int text_add_words(struct json_object **disk, char *at, char **ret_word)
{
	char *word;

	while ((word = strsep(&at, ","))) {
		if (text_add_word(disk, word) == 0)
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
		r = text_add_words(&disk, rest, ret_word);
	if (r < 0)
		return r;
	if (!disk)
		return -ENOMEM;
	*ret_disk = TAKE_PTR(disk);
	return 0;
}

/* ---- What is at a path ---- */

#define LOOK_TIMEOUT  10000 /* milliseconds */
#define BRIEF_TIMEOUT 2000  /* where nobody needs to know */

/* What is found there; it goes through a pipe at once. */
struct look {
	bool missing;
	enum image_format format; /* IMAGE_RAW: also of what cannot be read */
	char named[IMAGE_NAMED_MAX];
};
_Static_assert(sizeof(struct look) <= PIPE_BUF, "in one piece");

static void look(const char *path, struct look *look)
{
	AUTO_CLOSE int path_fd = -1, fd = -1;
	struct image_names names;
	struct image_bytes bytes;
	struct stat status;
	off_t size;

	path_fd = path_look(path, &status);
	look->missing = path_fd < 0 && (errno == ENOENT || errno == ENOTDIR);
	if (path_fd < 0 || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)))
		return;
	fd = path_open(path_fd, O_RDONLY | O_NONBLOCK);
	size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	bytes = image_bytes_of_file(fd, size > 0 ? (uint64_t)size : 0);
	if (size <= 0 || image_format_detect(&bytes, &look->format) < 0 ||
	    image_format_check(&bytes, look->format, &names) < 0)
		look->format = IMAGE_RAW;
	else
		memcpy(look->named, names.named, sizeof(look->named));
}

/*
 * The same by a process that may wait, for ever if its file system does not answer. Return: 0;
 * -ETIMEDOUT; -errno.
 */
static int text_look_in_time(const char *path, int timeout, struct look *ret_look)
{
	struct pollfd ready = { .events = POLLIN };
	struct look found = { .format = IMAGE_RAW };
	int pipes[2], r;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	AUTO_CLOSE int reader = pipes[0];
	AUTO_CLOSE int writer = pipes[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		look(path, &found);
		_exit(write(writer, &found, sizeof(found)) == sizeof(found) ? 0 : 1);
	}
	close_fdp(&writer);
	ready.fd = reader;
	do
		r = poll(&ready, 1, timeout);
	while (r < 0 && errno == EINTR);
	if (r == 0) {
		kill(pid, SIGKILL); /* which it may not obey: nobody waits for that */
		return -ETIMEDOUT;
	}
	r = read(reader, ret_look, sizeof(*ret_look)) == sizeof(*ret_look) ? 0 : -EIO;
	waitpid(pid, NULL, 0);
	return r;
}

static void text_say_missing(const char *path)
{
	fprintf(stderr, "vmctl: there is no file '%s'\n", path);
}

static int text_find_file(const char *path, int timeout)
{
	struct look found;
	int r = text_look_in_time(path, timeout, &found);

	return r < 0 ? r : found.missing ? -ENOENT : 0;
}

int disk_text_look_for_file(const char *path)
{
	return text_find_file(path, BRIEF_TIMEOUT);
}

int disk_text_find_file(const char *path)
{
	int r = text_find_file(path, LOOK_TIMEOUT);

	if (r == -ENOENT)
		text_say_missing(path);
	else if (r < 0)
		fprintf(stderr, "vmctl: '%s' cannot be looked at: %s\n", path, strerror(-r));
	return r;
}

enum status disk_text_status(int r)
{
	if (r == -ETIMEDOUT)
		return STATUS_TIMEOUT;
	return r == -ENOENT ? STATUS_FAILED : STATUS_USAGE;
}

int disk_text_find_format(struct json_object **disk)
{
	struct json_object *path, *type;
	struct look found;
	int r;

	if (!*disk || json_object_object_get_ex(*disk, "format", NULL) ||
	    !json_object_object_get_ex(*disk, "path", &path) ||
	    (json_object_object_get_ex(*disk, "type", &type) &&
	     strcmp(json_object_get_string(type), "dvd") == 0))
		return 0;
	r = text_look_in_time(json_object_get_string(path), LOOK_TIMEOUT, &found);
	if (r < 0) {
		fprintf(stderr,
			"vmctl: what format '%s' has cannot be found out: %s; say it as format\n",
			json_object_get_string(path), strerror(-r));
		return r;
	}
	/* A guest that had this as its raw disk could have made such a head. */
	if (found.named[0] != '\0') {
		fprintf(stderr,
			"vmctl: '%s' looks like a %s image on top of another file, '%s'.\n"
			"vmctl: If you know who made it, say so by ,format=%s behind its path (of "
			"attach: --format %s): the guest then reads that file through it, with the "
			"rights of the VM's owner. A guest that had '%s' as a raw disk may have "
			"written this head to read your files: say ,format=raw then.\n",
			json_object_get_string(path), image_format_names[found.format], found.named,
			image_format_names[found.format], image_format_names[found.format],
			json_object_get_string(path));
		return -EPERM;
	}
	if (found.format != IMAGE_RAW)
		json_add(disk, "format", json_object_new_string(image_format_names[found.format]));
	return 0;
}
