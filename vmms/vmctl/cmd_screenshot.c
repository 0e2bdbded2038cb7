/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl screenshot: what a terminal shows of what a guest has written to its serial console; with
 * --image, what it shows on its screen.
 *
 * The service gives the end of that, and knows nothing of terminals; who asks makes the picture.
 */
#include "vmms/vmctl/console.h"
#include "vmms/vmctl/guest_screen.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/png.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct size {
	unsigned columns, rows;
};

/* "80x25". Return: false: it is none, or out of bounds. */
static bool screenshot_read_size(const char *text, struct size *ret_size)
{
	const char *x = strchr(text, 'x');
	AUTO_FREE char *before = x ? strndup(text, (size_t)(x - text)) : NULL;
	uint64_t columns, rows;

	if (!before ||
	    parse_unsigned(before, GUEST_SCREEN_COLUMNS_MIN, GUEST_SCREEN_COLUMNS_MAX, &columns) <
		    0 ||
	    parse_unsigned(x + 1, GUEST_SCREEN_ROWS_MIN, GUEST_SCREEN_ROWS_MAX, &rows) < 0)
		return false;
	*ret_size = (struct size){ (unsigned)columns, (unsigned)rows };
	return true;
}

/* ---- The picture ---- */

static enum status screenshot_read_stream(int stream, struct guest_screen *screen)
{
	char bytes[16384];
	ssize_t size;

	while ((size = read(stream, bytes, sizeof(bytes))) != 0) {
		if (size > 0)
			guest_screen_write(screen, bytes, (size_t)size);
		else if (errno != EINTR)
			return service_failed(-errno, NULL);
	}
	return STATUS_OK;
}

static enum status screenshot_take_picture(struct invocation *invocation,
					   struct guest_screen *screen)
{
	struct console_options options = { .log = true, .watch = true };
	AUTO_FREE char *path = NULL;
	AUTO_CLOSE int stream = -1;
	enum status status;
	bool typing;

	status = service_find_vm(invocation, invocation->arguments[0], &path);
	if (status == STATUS_OK)
		status = console_open_stream(invocation, path, &options, &stream, &typing);
	return status == STATUS_OK ? screenshot_read_stream(stream, screen) : status;
}

/* ---- Printing ---- */

/* Without empty rows at the end. NULL without memory. */
static char *screenshot_text_new(const struct guest_screen *screen, const struct size *size)
{
	AUTO_FREE char *text = NULL;
	size_t text_size = 0, used = 0;
	FILE *stream = open_memstream(&text, &text_size);
	bool whole = stream != NULL;

	for (unsigned i = 0; whole && i < size->rows; i++) {
		AUTO_FREE char *row = guest_screen_row_new(screen, i);

		whole = row && fprintf(stream, "%s%s", i > 0 ? "\n" : "", row) >= 0;
		if (row && row[0] != '\0')
			used = (size_t)ftell(stream);
	}
	if (!stream || fclose(stream) != 0 || !whole)
		return NULL;
	text[used] = '\0';
	return TAKE_PTR(text);
}

static char *screenshot_json_new(const struct guest_screen *screen, const struct size *size)
{
	struct json_object *rows = json_object_new_array();
	unsigned column, row;

	for (unsigned i = 0; rows && i < size->rows; i++) {
		AUTO_FREE char *text = guest_screen_row_new(screen, i);

		json_append(&rows, text ? json_object_new_string(text) : NULL);
	}
	guest_screen_cursor(screen, &column, &row);
	return json_text_new(json_make("size",
				       json_make("columns", json_object_new_int64(size->columns),
						 "rows", json_object_new_int64(size->rows), NULL),
				       "cursor",
				       json_make("column", json_object_new_int64(column), "row",
						 json_object_new_int64(row), NULL),
				       "rows", rows, NULL));
}

/* ---- The picture of the screen ---- */

struct picture {
	uint8_t *pixels;
	uint32_t width, height;
};

/* Of the service, which is believed no more than that the memory does not become smaller. */
static int picture_map(int fd, struct picture *picture)
{
	const uint64_t size = (uint64_t)picture->width * picture->height * 4;
	struct stat status;
	void *pixels;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (size == 0 || size > (uint64_t)status.st_size)
		return -EBADMSG;
	pixels = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (pixels == MAP_FAILED)
		return -errno;
	picture->pixels = pixels;
	return 0;
}

static enum status picture_take(struct invocation *invocation, struct picture *picture)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status =
		service_ask_vm(invocation, "TakePicture", SERVICE_LONG_TIMEOUT, NULL, &reply);
	int fd, r;

	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_read(reply, "huu", &fd, &picture->width, &picture->height);
	if (r >= 0)
		r = picture_map(fd, picture);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* What a guest has on its screen is not for everybody. */
static FILE *picture_open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);

	return fd < 0 ? NULL : fdopen(fd, "w");
}

static enum status picture_write(struct invocation *invocation, const struct picture *picture,
				 const char *path)
{
	bool to_output = strcmp(path, "-") == 0;
	FILE *file = to_output ? stdout : picture_open_file(path);
	int r = file ? png_write(file, picture->pixels, picture->width, picture->height) : -errno;

	if (r == 0 && fflush(file) != 0)
		r = -errno;
	if (file && !to_output) {
		fclose(file);
		if (r < 0)
			(void)unlink(path);
	}
	if (r == 0)
		return STATUS_OK;
	usage_error(invocation, "cannot write '%s': %s", path, strerror(-r));
	return STATUS_FAILED;
}

static enum status screenshot_image(struct invocation *invocation, const char *path)
{
	struct picture picture = { 0 };
	enum status status = picture_take(invocation, &picture);

	if (status == STATUS_OK)
		status = picture_write(invocation, &picture, path);
	if (picture.pixels)
		munmap(picture.pixels, (size_t)picture.width * picture.height * 4);
	return status;
}

/* ---- The command ---- */

enum status command_screenshot(struct invocation *invocation)
{
	struct size size = { GUEST_SCREEN_COLUMNS, GUEST_SCREEN_ROWS };
	CLEANUP(guest_screen_freep) struct guest_screen *screen = NULL;
	const char *wanted = invocation_value(invocation, "size");
	const char *image = invocation_value(invocation, "image");
	AUTO_FREE char *text = NULL;
	enum status status;
	int r;

	if (image && (wanted || invocation_has(invocation, "output") || invocation->json))
		return usage_error(invocation, "--image goes with no other option");
	if (image)
		return screenshot_image(invocation, image);
	if (wanted && !screenshot_read_size(wanted, &size))
		return usage_error(invocation, "--size must be from %ux%u to %ux%u, not '%s'",
				   GUEST_SCREEN_COLUMNS_MIN, GUEST_SCREEN_ROWS_MIN,
				   GUEST_SCREEN_COLUMNS_MAX, GUEST_SCREEN_ROWS_MAX, wanted);
	r = guest_screen_new(size.columns, size.rows, &screen);
	if (r < 0)
		return service_failed(r, NULL);
	status = screenshot_take_picture(invocation, screen);
	if (status != STATUS_OK)
		return status;
	text = invocation->json ? screenshot_json_new(screen, &size)
				: screenshot_text_new(screen, &size);
	return text ? output_write(invocation, text) : service_failed(-ENOMEM, NULL);
}
