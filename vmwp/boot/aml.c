/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small builder of ACPI machine language.
 *
 * The length of a body is written before it, in one to four bytes. A body is opened with room for
 * two, which is enough for the 4 KiB that our tables stay below. Closing a short one takes a byte
 * back: AML permits a length in more bytes than it needs, but there are loaders that look for \_S5
 * without an interpreter, and expect it to be short.
 */
#include "vmwp/boot/aml.h"

#include <string.h>

#define OP_NAME      0x08
#define OP_BYTE      0x0a
#define OP_WORD      0x0b
#define OP_DWORD     0x0c
#define OP_STRING    0x0d
#define OP_QWORD     0x0e
#define OP_SCOPE     0x10
#define OP_BUFFER    0x11
#define OP_PACKAGE   0x12
#define OP_METHOD    0x14
#define OP_NOTIFY    0x86
#define OP_EXTENDED  0x5b
#define OP_EX_DEVICE 0x82

#define NAME_MULTIPLE 0x2f /* so many names follow */

#define LENGTH_BYTES     2
#define LENGTH_SHORT_MAX 0x3fu
#define LENGTH_MAX       0xfffu

#define RESOURCE_IRQ_NOFLAGS   0x22
#define RESOURCE_IO            0x47
#define RESOURCE_END           0x79
#define RESOURCE_WORD_ADDRESS  0x88
#define RESOURCE_QWORD_ADDRESS 0x8a
#define IO_DECODE_16           0x01
#define ADDRESS_FIXED          0x0c /* both ends fixed, positive decode, producer */
#define MEMORY_READ_WRITE      0x01
#define PORTS_ALL              0x03 /* not those of ISA alone */

static void aml_append(struct aml *aml, const void *data, size_t size)
{
	if (size > aml->capacity - aml->size) {
		aml->overflow = true;
		return;
	}
	memcpy(aml->data + aml->size, data, size);
	aml->size += size;
}

static void aml_byte(struct aml *aml, uint8_t byte)
{
	aml_append(aml, &byte, 1);
}

/* Little-endian, as the host is. */
static void aml_bytes(struct aml *aml, uint64_t value, size_t size)
{
	aml_append(aml, &value, size);
}

static aml_mark_t aml_open(struct aml *aml)
{
	aml_mark_t mark = aml->size;

	aml_bytes(aml, 0, LENGTH_BYTES);
	return mark;
}

/*
 * PkgLength counts itself. Of two bytes: bits 7-6 of the first say how many follow, bits 3-0 are
 * the lowest of the length.
 */
void aml_close(struct aml *aml, aml_mark_t mark)
{
	size_t length = aml->size - mark;

	if (length > LENGTH_MAX)
		aml->overflow = true;
	if (aml->overflow)
		return;
	if (length - 1 <= LENGTH_SHORT_MAX) {
		memmove(aml->data + mark + 1, aml->data + mark + 2, length - 2);
		aml->size--;
		aml->data[mark] = (uint8_t)(length - 1);
		return;
	}
	aml->data[mark] = (uint8_t)((LENGTH_BYTES - 1) << 6 | (length & 0xf));
	aml->data[mark + 1] = (uint8_t)(length >> 4);
}

aml_mark_t aml_open_scope(struct aml *aml, const char *path)
{
	aml_mark_t mark;

	aml_byte(aml, OP_SCOPE);
	mark = aml_open(aml);
	aml_append(aml, path, strlen(path));
	return mark;
}

aml_mark_t aml_open_device(struct aml *aml, const char *name)
{
	aml_mark_t mark;

	aml_byte(aml, OP_EXTENDED);
	aml_byte(aml, OP_EX_DEVICE);
	mark = aml_open(aml);
	aml_append(aml, name, 4);
	return mark;
}

aml_mark_t aml_open_package(struct aml *aml, uint8_t elements)
{
	aml_mark_t mark;

	aml_byte(aml, OP_PACKAGE);
	mark = aml_open(aml);
	aml_byte(aml, elements);
	return mark;
}

aml_mark_t aml_open_method(struct aml *aml, const char *name)
{
	aml_mark_t mark;

	aml_byte(aml, OP_METHOD);
	mark = aml_open(aml);
	aml_append(aml, name, 4);
	aml_byte(aml, 0); /* flags: no arguments, not serialized */
	return mark;
}

void aml_notify(struct aml *aml, const char *scope, const char *parent, const char *device,
		uint8_t value)
{
	aml_byte(aml, OP_NOTIFY);
	aml_byte(aml, '\\');
	aml_byte(aml, NAME_MULTIPLE);
	aml_byte(aml, 3);
	aml_append(aml, scope, 4);
	aml_append(aml, parent, 4);
	aml_append(aml, device, 4);
	aml_integer(aml, value);
}

void aml_name(struct aml *aml, const char *name)
{
	aml_byte(aml, OP_NAME);
	aml_append(aml, name, strlen(name));
}

void aml_integer(struct aml *aml, uint64_t value)
{
	static const struct {
		uint64_t max;
		uint8_t op, size;
	} encodings[] = {
		{ UINT8_MAX, OP_BYTE, 1 },
		{ UINT16_MAX, OP_WORD, 2 },
		{ UINT32_MAX, OP_DWORD, 4 },
		{ UINT64_MAX, OP_QWORD, 8 },
	};
	size_t i = 0;

	/* 0 and 1 are operators of their own. */
	if (value <= 1) {
		aml_byte(aml, (uint8_t)value);
		return;
	}
	while (value > encodings[i].max)
		i++;
	aml_byte(aml, encodings[i].op);
	aml_bytes(aml, value, encodings[i].size);
}

void aml_string(struct aml *aml, const char *text)
{
	aml_byte(aml, OP_STRING);
	aml_append(aml, text, strlen(text) + 1);
}

static uint32_t hex_digit(char c)
{
	return c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(c - 'A') + 10;
}

/* Three letters of five bits and four hexadecimal digits, big-endian. ACPI 6.4, 19.3.4. */
void aml_eisa_id(struct aml *aml, const char *id)
{
	uint32_t value = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
			 (uint32_t)(id[2] - '@') << 16;

	for (int i = 0; i < 4; i++)
		value |= hex_digit(id[3 + i]) << (12 - 4 * i);
	aml_integer(aml, __builtin_bswap32(value));
}

struct aml_resources aml_open_resources(struct aml *aml)
{
	struct aml_resources resources;

	aml_byte(aml, OP_BUFFER);
	resources.buffer = aml_open(aml);
	aml_byte(aml, OP_WORD);
	resources.start = aml->size + 2;
	aml_bytes(aml, 0, 2);
	return resources;
}

void aml_close_resources(struct aml *aml, struct aml_resources resources)
{
	size_t size;

	aml_byte(aml, RESOURCE_END);
	aml_byte(aml, 0); /* a checksum of 0 means none */
	if (aml->overflow)
		return;
	size = aml->size - resources.start;
	aml->data[resources.start - 2] = (uint8_t)size;
	aml->data[resources.start - 1] = (uint8_t)(size >> 8);
	aml_close(aml, resources.buffer);
}

void aml_resource_io(struct aml *aml, uint16_t port, uint8_t count)
{
	aml_byte(aml, RESOURCE_IO);
	aml_byte(aml, IO_DECODE_16);
	aml_bytes(aml, port, 2); /* lowest and highest base */
	aml_bytes(aml, port, 2);
	aml_byte(aml, 1); /* alignment */
	aml_byte(aml, count);
}

void aml_resource_irq(struct aml *aml, uint8_t irq)
{
	aml_byte(aml, RESOURCE_IRQ_NOFLAGS);
	aml_bytes(aml, UINT64_C(1) << irq, 2);
}

void aml_resource_memory(struct aml *aml, uint64_t base, uint64_t size)
{
	aml_byte(aml, RESOURCE_QWORD_ADDRESS);
	aml_bytes(aml, 43, 2); /* bytes that follow */
	aml_byte(aml, 0);      /* memory */
	aml_byte(aml, ADDRESS_FIXED);
	aml_byte(aml, MEMORY_READ_WRITE);
	aml_bytes(aml, 0, 8); /* granularity */
	aml_bytes(aml, base, 8);
	aml_bytes(aml, base + size - 1, 8);
	aml_bytes(aml, 0, 8); /* translation */
	aml_bytes(aml, size, 8);
}

static void aml_resource_word(struct aml *aml, uint8_t type, uint8_t type_flags, uint32_t first,
			      uint32_t count)
{
	aml_byte(aml, RESOURCE_WORD_ADDRESS);
	aml_bytes(aml, 13, 2); /* bytes that follow */
	aml_byte(aml, type);
	aml_byte(aml, ADDRESS_FIXED);
	aml_byte(aml, type_flags);
	aml_bytes(aml, 0, 2); /* granularity */
	aml_bytes(aml, first, 2);
	aml_bytes(aml, first + count - 1, 2);
	aml_bytes(aml, 0, 2); /* translation */
	aml_bytes(aml, count, 2);
}

void aml_resource_ports(struct aml *aml, uint16_t first, uint32_t count)
{
	aml_resource_word(aml, 1, PORTS_ALL, first, count);
}

void aml_resource_buses(struct aml *aml, uint8_t first, uint8_t last)
{
	aml_resource_word(aml, 2, 0, first, last - first + 1u);
}
