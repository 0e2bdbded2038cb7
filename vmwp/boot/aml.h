/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small builder of ACPI machine language, into a buffer of fixed size.
 *
 * Terms are appended in order; what has a body is opened, filled and closed with the mark that
 * opening gave. Overflow is remembered instead of reported by every call: look at `overflow` once,
 * at the end. Source: ACPI 6.4, chapters 6.4 (resource descriptors) and 20 (AML).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *data; /* borrowed; capacity bytes */
	size_t size, capacity;
	bool overflow;
};

typedef size_t aml_mark_t;

/* Bodies. path: "\\_SB_" or one name of four characters; package elements are terms. */
aml_mark_t aml_open_scope(struct aml *aml, const char *path);
aml_mark_t aml_open_device(struct aml *aml, const char *name);
aml_mark_t aml_open_method(struct aml *aml, const char *name); /* without arguments */
aml_mark_t aml_open_package(struct aml *aml, uint8_t elements);
void aml_close(struct aml *aml, aml_mark_t mark);

/* Notify (\scope.parent.device, value). Each of the three: four characters. */
void aml_notify(struct aml *aml, const char *scope, const char *parent, const char *device,
		uint8_t value);

/* Name (NAME, …): what follows is the value. */
void aml_name(struct aml *aml, const char *name);

/* Values. */
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text);
void aml_eisa_id(struct aml *aml, const char *id); /* "PNP0501" */

/* A resource template: a value too, which holds descriptors. */
struct aml_resources {
	aml_mark_t buffer;
	size_t start;
};
struct aml_resources aml_open_resources(struct aml *aml);
void aml_close_resources(struct aml *aml, struct aml_resources resources);
void aml_resource_io(struct aml *aml, uint16_t port, uint8_t count);
void aml_resource_irq(struct aml *aml, uint8_t irq); /* edge, active high, exclusive */
/* A producer's windows of ports, and of PCI buses. */
void aml_resource_ports(struct aml *aml, uint16_t first, uint32_t count);
void aml_resource_buses(struct aml *aml, uint8_t first, uint8_t last);
void aml_resource_memory(struct aml *aml, uint64_t base, uint64_t size); /* producer's window */
