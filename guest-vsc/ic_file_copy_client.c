/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * File copy, in the guest.
 *
 * The host sends a piece when the one before was answered, so pieces come in order, without gaps,
 * and no longer than it said the file was: what does not is refused, and the file is given up.
 */
#include "guest-vsc/ic_file_copy_client.h"
#include "guest-vsc/memory.h"

#define CRC_POLYNOMIAL 0xedb88320u /* IEEE 802.3, bits reversed */

static struct ic_file_copy_client *file_copy_of(struct ic_client *client)
{
	return container_of(client, struct ic_file_copy_client, ic);
}

static void forget_file(struct ic_file_copy_client *copy)
{
	copy->state = IC_FILE_COPY_CLIENT_NONE;
	copy->size = copy->filled = 0;
}

/* ---- Paths ---- */

/* Units before the NUL; IC_FILE_COPY_NAME_MAX: there is none. */
static size_t name_length(const uint16_t *name)
{
	size_t length = 0;

	while (length < IC_FILE_COPY_NAME_MAX && name[length])
		length++;
	return length;
}

/* Both have their NULs. */
static bool names_are_equal(const uint16_t *a, const uint16_t *b)
{
	size_t length = name_length(a);

	return name_length(b) == length && memcmp(a, b, length * sizeof(*a)) == 0;
}

/* Return: what is left of the ASCII text after the name; NULL: it does not begin with it. */
static const char *skip_name(const char *text, const uint16_t *name)
{
	for (; *name; name++, text++)
		if (*name != (uint8_t)*text)
			return NULL;
	return text;
}

/* A folder ends with a slash, a name has none. */
static bool names_are_valid(const uint16_t *folder, const uint16_t *name)
{
	size_t folder_length = name_length(folder), length = name_length(name);

	if (folder_length == 0 || folder_length == IC_FILE_COPY_NAME_MAX || length == 0 ||
	    length == IC_FILE_COPY_NAME_MAX || folder[folder_length - 1] != '/')
		return false;
	for (size_t i = 0; i < length; i++)
		if (name[i] == '/')
			return false;
	return true;
}

bool ic_file_copy_client_has(const struct ic_file_copy_client *copy, const char *path)
{
	const char *rest;

	if (copy->state != IC_FILE_COPY_CLIENT_WHOLE)
		return false;
	rest = skip_name(path, copy->file_folder);
	if (rest)
		rest = skip_name(rest, copy->file_name);
	return rest && *rest == '\0';
}

uint32_t ic_file_copy_client_checksum(const struct ic_file_copy_client *copy)
{
	uint32_t crc = UINT32_MAX;

	for (uint64_t i = 0; i < copy->filled; i++) {
		crc ^= copy->memory[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CRC_POLYNOMIAL : 0);
	}
	return ~crc;
}

/* ---- Requests ---- */

static bool folder_exists(const struct ic_file_copy_client *copy, const uint16_t *folder)
{
	const char *rest = skip_name(copy->folder, folder);

	return rest && *rest == '\0';
}

static uint32_t serve_start(struct ic_file_copy_client *copy, const void *body, size_t size)
{
	uint16_t folder[IC_FILE_COPY_NAME_MAX], name[IC_FILE_COPY_NAME_MAX];
	struct ic_file_copy_start start;

	if (size < sizeof(start))
		return IC_STATUS_FAIL;
	memcpy(&start, body, sizeof(start));
	memcpy(folder, start.folder, sizeof(folder));
	memcpy(name, start.name, sizeof(name));
	if (!names_are_valid(folder, name) ||
	    (!folder_exists(copy, folder) && !(start.flags & IC_FILE_COPY_CREATE_PATH)))
		return IC_STATUS_FAIL;
	if (copy->state == IC_FILE_COPY_CLIENT_WHOLE && !(start.flags & IC_FILE_COPY_OVERWRITE) &&
	    names_are_equal(copy->file_folder, folder) && names_are_equal(copy->file_name, name))
		return IC_FILE_COPY_STATUS_EXISTS;

	forget_file(copy);
	memcpy(copy->file_folder, folder, sizeof(folder));
	memcpy(copy->file_name, name, sizeof(name));
	copy->size = start.size;
	copy->state = IC_FILE_COPY_CLIENT_COMING;
	return IC_STATUS_OK;
}

static uint32_t serve_write(struct ic_file_copy_client *copy, const void *body, size_t size)
{
	const struct ic_file_copy_write *write = body;

	if (copy->state != IC_FILE_COPY_CLIENT_COMING || size < sizeof(*write) ||
	    write->size > sizeof(write->data) || write->offset != copy->filled ||
	    write->size > copy->size - copy->filled)
		return IC_STATUS_FAIL;
	if (write->size > copy->room - copy->filled)
		return IC_FILE_COPY_STATUS_DISK_FULL;
	memcpy(copy->memory + copy->filled, write->data, write->size);
	copy->filled += write->size;
	return IC_STATUS_OK;
}

static uint32_t serve_complete(struct ic_file_copy_client *copy)
{
	if (copy->state != IC_FILE_COPY_CLIENT_COMING || copy->filled != copy->size)
		return IC_STATUS_FAIL;
	copy->state = IC_FILE_COPY_CLIENT_WHOLE;
	copy->copies++;
	return IC_STATUS_OK;
}

/* A file that came whole is no longer the copy's. */
static uint32_t serve_cancel(struct ic_file_copy_client *copy)
{
	if (copy->state == IC_FILE_COPY_CLIENT_COMING)
		forget_file(copy);
	copy->cancels++;
	return IC_STATUS_OK;
}

static uint32_t serve_file_copy(struct ic_client *client, void *body, size_t size)
{
	struct ic_file_copy_client *copy = file_copy_of(client);
	struct ic_file_copy_header header;
	uint32_t status = IC_STATUS_FAIL;

	if (size < sizeof(header))
		return IC_STATUS_FAIL;
	memcpy(&header, body, sizeof(header));
	switch (header.operation) {
	case IC_FILE_COPY_START:
		return serve_start(copy, body, size);
	case IC_FILE_COPY_CANCEL:
		return serve_cancel(copy);
	case IC_FILE_COPY_WRITE:
		status = serve_write(copy, body, size);
		break;
	case IC_FILE_COPY_COMPLETE:
		status = serve_complete(copy);
		break;
	}
	if (status != IC_STATUS_OK && copy->state == IC_FILE_COPY_CLIENT_COMING)
		forget_file(copy);
	return status;
}

static const struct ic_version file_copy_versions[] = { { 1, 1 }, { 1, 0 } };

const struct ic_client_kind ic_file_copy_client_kind = {
	.type = IC_FILE_COPY_TYPE,
	.message_type = IC_MESSAGE_FILE_COPY,
	.versions = file_copy_versions,
	.version_count = ARRAY_SIZE(file_copy_versions),
	.serve = serve_file_copy,
};
