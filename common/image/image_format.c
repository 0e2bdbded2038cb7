/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Formats of disk images: what the head of a file says.
 *
 * No more is read than fixed places of bounded size: the reader is safe with any bytes, and does
 * not say whether an image is good, which is its server's business.
 */
#include "common/image/image_format.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const image_format_names[] = { "raw", "qcow2", "vhd", "vhdx", "vmdk", NULL };
const char *const image_format_drivers[] = { "raw", "qcow2", "vpc", "vhdx", "vmdk", NULL };

static int find(const char *const *all, const char *name)
{
	for (int i = 0; all[i]; i++) {
		if (strcmp(all[i], name) == 0)
			return i;
	}
	return -1;
}

int image_format_find(const char *name)
{
	return find(image_format_names, name);
}

bool image_format_is_native(const char *name)
{
	int format = name ? image_format_find(name) : IMAGE_RAW;

	return format == IMAGE_RAW || format == IMAGE_VHD || format == IMAGE_VHDX;
}

/* ---- Bytes ---- */

static int read_file(const struct image_bytes *bytes, uint64_t offset, void *buffer, size_t size)
{
	ssize_t count;

	do
		count = pread(bytes->fd, buffer, size, (off_t)offset);
	while (count < 0 && errno == EINTR);
	return count < 0 ? -errno : (int)count;
}

static int read_memory(const struct image_bytes *bytes, uint64_t offset, void *buffer, size_t size)
{
	uint64_t left = offset < bytes->size ? bytes->size - offset : 0;
	size_t count = (size_t)MIN(left, (uint64_t)size);

	memcpy(buffer, bytes->memory + (count > 0 ? offset : 0), count);
	return (int)count;
}

struct image_bytes image_bytes_of_file(int fd, uint64_t size)
{
	return (struct image_bytes){ .read = read_file, .size = size, .fd = fd };
}

struct image_bytes image_bytes_of_memory(const void *memory, size_t size)
{
	return (struct image_bytes){ .read = read_memory, .size = size, .memory = memory };
}

/*
 * Direct I/O reads whole blocks into aligned memory only. The offset is a multiple of 512. Return:
 * bytes; -errno.
 */
#define BLOCK 4096u

struct block {
	_Alignas(BLOCK) uint8_t bytes[BLOCK];
	unsigned first, size; /* what was asked for: the rest of the block from `first` on */
};

static int read_block(const struct image_bytes *bytes, uint64_t offset, struct block *block)
{
	uint64_t start = ALIGN_DOWN(offset, (uint64_t)BLOCK);
	int size = 0;

	/* No image is that large. */
	if (offset <= INT64_MAX - BLOCK)
		size = bytes->read(bytes, start, block->bytes, BLOCK);
	if (size < 0)
		return size;
	block->first = (unsigned)(offset - start);
	block->size = (unsigned)size > block->first ? (unsigned)size - block->first : 0;
	memset(block->bytes + size, 0, BLOCK - (unsigned)size);
	return (int)block->size;
}

static const uint8_t *at(const struct block *block)
{
	return block->bytes + block->first;
}

static uint32_t big_32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return be32toh(value);
}

static uint64_t big_64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return be64toh(value);
}

static uint64_t little_64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

/* All of it. Return: 0; IMAGE_FORMAT_E_BROKEN: the image ends before; -errno. */
static int read_all(const struct image_bytes *bytes, uint64_t offset, void *buffer, size_t size)
{
	struct block block;

	for (size_t done = 0; done < size;) {
		int r = read_block(bytes, offset + done, &block);

		if (r <= 0)
			return r < 0 ? r : IMAGE_FORMAT_E_BROKEN;
		r = (int)MIN((size_t)r, size - done);
		memcpy((uint8_t *)buffer + done, at(&block), (size_t)r);
		done += (size_t)r;
	}
	return 0;
}

/* ---- What is named ---- */

static void show(struct image_names *names, const char *text)
{
	size_t length = 0;

	for (; text[length] && length < sizeof(names->named) - 1; length++)
		names->named[length] =
			(char)(text[length] >= ' ' && text[length] <= '~' ? text[length] : '?');
	names->named[length] = '\0';
}

static int refuse(struct image_names *names, int error, const char *text)
{
	show(names, text);
	return error;
}

/* What has a colon before any slash is another thing to QEMU. */
static int check_path(struct image_names *names, const char *path)
{
	show(names, path);
	return path[strcspn(path, ":/")] == ':' ? IMAGE_FORMAT_E_PROTOCOL : 0;
}

/* The text at that place of the image becomes a path. Return: 0; IMAGE_FORMAT_E_; -errno. */
static int read_path(const struct image_bytes *bytes, uint64_t offset, uint32_t size,
		     char path[static IMAGE_PATH_MAX])
{
	int r;

	path[0] = '\0';
	if (size == 0 || size >= IMAGE_PATH_MAX)
		return IMAGE_FORMAT_E_BROKEN;
	r = read_all(bytes, offset, path, size);
	path[r == 0 ? size : 0] = '\0';
	return r == 0 && strlen(path) != size ? IMAGE_FORMAT_E_BROKEN : r;
}

/* ---- qcow2 ---- */

#define QCOW2_VERSION          4
#define QCOW2_BACKING          8 /* offset of the name; 0: none */
#define QCOW2_BACKING_SIZE     16
#define QCOW2_CLUSTER_BITS     20 /* the head and all names are in the first cluster */
#define QCOW2_CLUSTER_BITS_MIN 9
#define QCOW2_CLUSTER_BITS_MAX 21
#define QCOW2_INCOMPATIBLE     72 /* features, from version 3 on */
#define QCOW2_HEADER_SIZE      100
#define QCOW2_HEADER_2_SIZE    72 /* of version 2, which does not say so */
#define QCOW2_EXTERNAL_DATA    4u
#define QCOW2_EXTENSIONS_MAX   64 /* that are looked at */
#define QCOW2_EXTENSION_END    0u
#define QCOW2_BACKING_FORMAT   0xe2792acau
#define QCOW2_DATA_FILE        0x44415441u
#define QCOW2_FORMAT_NAME_MAX  16

static bool is_qcow2(const uint8_t *head)
{
	return memcmp(head, "QFI\xfb", 4) == 0;
}

/* What the head says of itself. */
struct qcow2 {
	const struct image_bytes *bytes;
	uint64_t backing, extensions, end; /* offsets; end: of the extensions */
	uint32_t backing_size;
	bool external_data;
	char format[QCOW2_FORMAT_NAME_MAX]; /* of the backing file; "": it is not said */
};

static int read_qcow2_head(const uint8_t *head, struct qcow2 *qcow2)
{
	uint32_t version = big_32(head + QCOW2_VERSION);
	uint32_t cluster_bits = big_32(head + QCOW2_CLUSTER_BITS);
	uint64_t cluster;

	if (version != 2 && version != 3)
		return IMAGE_FORMAT_E_BROKEN;
	qcow2->backing = big_64(head + QCOW2_BACKING);
	qcow2->backing_size = big_32(head + QCOW2_BACKING_SIZE);
	qcow2->external_data =
		version == 3 && (big_64(head + QCOW2_INCOMPATIBLE) & QCOW2_EXTERNAL_DATA);
	qcow2->extensions = version == 3 ? big_32(head + QCOW2_HEADER_SIZE) : QCOW2_HEADER_2_SIZE;
	if (!qcow2->backing && !qcow2->external_data)
		return 0;
	if (cluster_bits < QCOW2_CLUSTER_BITS_MIN || cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return IMAGE_FORMAT_E_BROKEN;
	cluster = UINT64_C(1) << cluster_bits;
	qcow2->end = qcow2->backing ? qcow2->backing : cluster;
	if (qcow2->backing > cluster ||
	    (qcow2->backing && qcow2->backing_size > cluster - qcow2->backing))
		return IMAGE_FORMAT_E_BROKEN;
	return 0;
}

static int take_extension(struct qcow2 *qcow2, uint32_t type, uint64_t offset, uint32_t size,
			  struct image_names *names)
{
	if (type == QCOW2_DATA_FILE)
		return read_path(qcow2->bytes, offset, size, names->data);
	if (type != QCOW2_BACKING_FORMAT)
		return 0;
	if (size >= sizeof(qcow2->format))
		return IMAGE_FORMAT_E_BROKEN;
	memset(qcow2->format, 0, sizeof(qcow2->format));
	return read_all(qcow2->bytes, offset, qcow2->format, size);
}

static int read_extensions(struct qcow2 *qcow2, struct image_names *names)
{
	uint64_t at = qcow2->extensions;

	for (int i = 0; i < QCOW2_EXTENSIONS_MAX && at + 8 <= qcow2->end; i++) {
		uint8_t head[8];
		uint32_t size;
		int r = read_all(qcow2->bytes, at, head, sizeof(head));

		if (r != 0 || big_32(head) == QCOW2_EXTENSION_END)
			return r;
		at += sizeof(head);
		size = big_32(head + 4);
		if (size > qcow2->end - at)
			return IMAGE_FORMAT_E_BROKEN;
		r = take_extension(qcow2, big_32(head), at, size, names);
		if (r != 0)
			return r;
		at += ALIGN_UP((uint64_t)size, UINT64_C(8));
	}
	return 0;
}

/* QEMU would find out what is not said, by bytes that may be a guest's. */
static int check_backing(const struct qcow2 *qcow2, struct image_names *names)
{
	int format = find(image_format_drivers, qcow2->format);
	int r = check_path(names, names->backing);

	if (r == 0 && format < 0)
		r = IMAGE_FORMAT_E_UNKNOWN;
	names->backing_format = (enum image_format)MAX(format, 0);
	return r;
}

static int check_qcow2(const struct image_bytes *bytes, const struct block *head,
		       struct image_names *names)
{
	struct qcow2 qcow2 = { .bytes = bytes };
	int r;

	r = read_qcow2_head(head->bytes, &qcow2);
	if (r != 0 || (!qcow2.backing && !qcow2.external_data))
		return r;
	r = read_extensions(&qcow2, names);
	/* The name may be left behind by a feature that is not there any more. */
	if (r == 0 && !qcow2.external_data)
		names->data[0] = '\0';
	else if (r == 0)
		r = names->data[0] ? check_path(names, names->data) : IMAGE_FORMAT_E_BROKEN;
	if (r == 0 && qcow2.backing)
		r = read_path(bytes, qcow2.backing, qcow2.backing_size, names->backing);
	if (r == 0 && qcow2.backing)
		r = check_backing(&qcow2, names);
	return r;
}

/* ---- VHD: its footer, of which a copy is at the beginning unless it is of fixed size ---- */

#define VHD_FOOTER_SIZE  512
#define VHD_TYPE         60
#define VHD_FIXED        2
#define VHD_DYNAMIC      3
#define VHD_DIFFERENCING 4

static bool is_vhd_footer(const uint8_t *footer)
{
	return memcmp(footer, "conectix", 8) == 0;
}

/* *ret_type: 0: it is no VHD. */
static int find_vhd(const struct image_bytes *bytes, const struct block *head, uint32_t *ret_type)
{
	struct block block;
	int r;

	*ret_type = 0;
	if (is_vhd_footer(head->bytes)) {
		*ret_type = big_32(head->bytes + VHD_TYPE);
		return 0;
	}
	if (bytes->size < VHD_FOOTER_SIZE || bytes->size % VHD_FOOTER_SIZE)
		return 0;
	r = read_block(bytes, bytes->size - VHD_FOOTER_SIZE, &block);
	if (r >= VHD_FOOTER_SIZE && is_vhd_footer(at(&block)))
		*ret_type = big_32(at(&block) + VHD_TYPE);
	return MIN(r, 0);
}

static int check_vhd(uint32_t type, struct image_names *names)
{
	if (type == VHD_DIFFERENCING)
		return refuse(names, IMAGE_FORMAT_E_NAMES, "a parent disk");
	return type == VHD_FIXED || type == VHD_DYNAMIC ? 0 : IMAGE_FORMAT_E_BROKEN;
}

/* ---- VHDX: two region tables, the metadata that one names, the parameters ---- */

#define VHDX_REGIONS      (192u << 10)
#define VHDX_REGIONS_COPY (256u << 10)
#define VHDX_ENTRIES_MAX  100u /* that are looked at: what fits a block */
#define VHDX_HAS_PARENT   2u

static const uint8_t vhdx_metadata[16] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
					   0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
static const uint8_t vhdx_parameters[16] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
					     0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };

static bool is_vhdx(const uint8_t *head)
{
	return memcmp(head, "vhdxfile", 8) == 0;
}

/* The entry with that GUID among some of 32 bytes each. Return: NULL: there is none. */
static const uint8_t *find_entry(const struct block *block, unsigned first, const uint8_t guid[16])
{
	for (unsigned i = 0; i < VHDX_ENTRIES_MAX; i++) {
		unsigned offset = first + 32 * i;

		if (offset + 32 <= block->size && memcmp(at(block) + offset, guid, 16) == 0)
			return at(block) + offset;
	}
	return NULL;
}

static int find_vhdx_metadata(const struct image_bytes *bytes, uint64_t table, uint64_t *ret_offset)
{
	const uint8_t *entry = NULL;
	struct block block;
	int r;

	r = read_block(bytes, table, &block);
	if (r < 0)
		return r;
	if (memcmp(at(&block), "regi", 4) == 0)
		entry = find_entry(&block, 16, vhdx_metadata);
	*ret_offset = entry ? little_64(entry + 16) : 0;
	return entry && IS_ALIGNED(*ret_offset, (uint64_t)BLOCK) ? 0 : IMAGE_FORMAT_E_BROKEN;
}

static int check_vhdx(const struct image_bytes *bytes, struct image_names *names)
{
	const uint8_t *entry = NULL;
	uint64_t metadata;
	struct block block;
	uint32_t offset, flags;
	int r;

	r = find_vhdx_metadata(bytes, VHDX_REGIONS, &metadata);
	if (r == IMAGE_FORMAT_E_BROKEN)
		r = find_vhdx_metadata(bytes, VHDX_REGIONS_COPY, &metadata);
	if (r)
		return r;
	r = read_block(bytes, metadata, &block);
	if (r < 0)
		return r;
	if (memcmp(at(&block), "metadata", 8) == 0)
		entry = find_entry(&block, 32, vhdx_parameters);
	if (!entry)
		return IMAGE_FORMAT_E_BROKEN;
	memcpy(&offset, entry + 16, sizeof(offset));
	r = read_block(bytes, metadata + le32toh(offset), &block);
	if (r < 8)
		return r < 0 ? r : IMAGE_FORMAT_E_BROKEN;
	memcpy(&flags, at(&block) + 4, sizeof(flags));
	return le32toh(flags) & VHDX_HAS_PARENT
		       ? refuse(names, IMAGE_FORMAT_E_NAMES, "a parent disk")
		       : 0;
}

/* ---- VMDK: a sparse extent that describes itself, or a text that names extents ---- */

#define VMDK_CAPACITY          12 /* sectors; 0: the text tells */
#define VMDK_DESCRIPTION       28 /* sectors from the beginning; 0: none */
#define VMDK_DESCRIPTION_PARTS 5  /* blocks of it that are looked at: 20 KiB, as it has */

static const char vmdk_parent[] = "parentCID=";

static bool is_vmdk(const uint8_t *head)
{
	return memcmp(head, "KDMV", 4) == 0;
}

static bool is_vmdk_text(const uint8_t *head)
{
	return memcmp(head, "# Disk DescriptorFile", 21) == 0;
}

/* What follows the first such word in the text, or NULL. */
static const char *find_word(const char *text, const char *word)
{
	const char *found = strstr(text, word);

	return found ? found + strlen(word) : NULL;
}

/* A parent is a VMDK too, by the format. */
static int check_vmdk_text(const char *text, struct image_names *names)
{
	const char *parent = find_word(text, vmdk_parent);
	const char *hint = find_word(text, "parentFileNameHint=\"");
	size_t length = hint ? strcspn(hint, "\"\n") : 0;

	if (hint && (hint[length] != '"' || length == 0 || length >= sizeof(names->backing)))
		return IMAGE_FORMAT_E_BROKEN;
	if (hint) {
		memcpy(names->backing, hint, length);
		names->backing[length] = '\0';
		names->backing_format = IMAGE_VMDK;
		return check_path(names, names->backing);
	}
	if (parent && strncmp(parent, "ffffffff", 8) != 0)
		return refuse(names, IMAGE_FORMAT_E_NAMES, "a parent disk");
	return 0;
}

static int check_vmdk(const struct image_bytes *bytes, const struct block *head,
		      struct image_names *names)
{
	uint64_t place = little_64(head->bytes + VMDK_DESCRIPTION);
	char text[VMDK_DESCRIPTION_PARTS * BLOCK + 1] = "";
	size_t used = 0;

	if (is_vmdk_text(head->bytes) || little_64(head->bytes + VMDK_CAPACITY) == 0)
		return refuse(names, IMAGE_FORMAT_E_NAMES, "files with its extents");
	if (place == 0)
		return 0;
	if (place > INT64_MAX / 512 - sizeof(text))
		return IMAGE_FORMAT_E_BROKEN;
	place *= 512;
	while (used + BLOCK < sizeof(text)) {
		struct block block;
		int r = read_block(bytes, place + used, &block);

		if (r < 0)
			return r;
		if (r == 0)
			break;
		memcpy(text + used, at(&block), block.size);
		used += block.size;
	}
	text[used] = '\0';
	return check_vmdk_text(text, names);
}

/* ---- All of them ---- */

static int detect(const struct image_bytes *bytes, struct block *head, uint32_t *ret_vhd,
		  enum image_format *ret_format)
{
	int r;

	*ret_vhd = 0;
	r = read_block(bytes, 0, head);
	if (r < 0)
		return r;
	*ret_format = IMAGE_RAW;
	if (is_qcow2(head->bytes))
		*ret_format = IMAGE_QCOW2;
	else if (is_vhdx(head->bytes))
		*ret_format = IMAGE_VHDX;
	else if (is_vmdk(head->bytes) || is_vmdk_text(head->bytes))
		*ret_format = IMAGE_VMDK;
	if (*ret_format != IMAGE_RAW)
		return 0;
	r = find_vhd(bytes, head, ret_vhd);
	if (r == 0 && *ret_vhd)
		*ret_format = IMAGE_VHD;
	return r;
}

int image_format_detect(const struct image_bytes *bytes, enum image_format *ret_format)
{
	struct block head;
	uint32_t vhd;

	return detect(bytes, &head, &vhd, ret_format);
}

int image_format_check(const struct image_bytes *bytes, enum image_format format,
		       struct image_names *ret_names)
{
	enum image_format found;
	struct block head;
	uint32_t vhd;
	int r;

	*ret_names = (struct image_names){ .backing_format = IMAGE_RAW };
	if (format == IMAGE_RAW)
		return 0;
	r = detect(bytes, &head, &vhd, &found);
	if (r < 0)
		return r;
	if (found != format)
		return IMAGE_FORMAT_E_OTHER;
	switch (format) {
	case IMAGE_QCOW2:
		return check_qcow2(bytes, &head, ret_names);
	case IMAGE_VHD:
		return check_vhd(vhd, ret_names);
	case IMAGE_VHDX:
		return check_vhdx(bytes, ret_names);
	case IMAGE_VMDK:
		return check_vmdk(bytes, &head, ret_names);
	case IMAGE_RAW:
		break;
	}
	return 0;
}
