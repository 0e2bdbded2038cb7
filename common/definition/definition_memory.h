/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory of a VM, in its definition: "memory".
 *
 * With dynamic memory `size` is what the guest begins with; afterwards it has between `minimum` and
 * `maximum`, by what it needs and what the host has.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#include <stdbool.h>
#include <stdint.h>

#define DEFINITION_MEMORY_MIN           (UINT64_C(16) << 20)  /* bytes */
#define DEFINITION_MEMORY_MAX           (UINT64_C(8) << 40)   /* bytes */
#define DEFINITION_MEMORY_UNIT          (UINT64_C(2) << 20)   /* sizes are multiples of it */
#define DEFINITION_MEMORY_DEFAULT       (UINT64_C(512) << 20) /* bytes */
#define DEFINITION_MEMORY_BUFFER        20                    /* percent */
#define DEFINITION_MEMORY_BUFFER_MAX    2000                  /* percent */
#define DEFINITION_MEMORY_MINIMUM_LARGE (UINT64_C(512) << 20) /* the most that a default is */

enum definition_pages {
	DEFINITION_PAGES_TRANSPARENT, /* "transparent": huge where the host has them */
	DEFINITION_PAGES_HUGETLB,     /* "hugetlb" */
	DEFINITION_PAGES_SMALL,       /* "small" */
};

struct definition_dynamic_memory {
	bool on;                   /* the definition has it; else the rest says nothing */
	bool automatic;            /* vmms follows the guest's needs; else `size` alone counts */
	uint64_t minimum, maximum; /* bytes; as `size` */
	unsigned buffer;           /* percent of its needs that the guest gets beyond them */
};

struct definition_memory {
	uint64_t size; /* bytes, multiple of DEFINITION_MEMORY_UNIT */
	enum definition_pages pages;
	bool shared;
	struct definition_dynamic_memory dynamic;
};

/* A json_read_fn, into the struct definition_memory at `target`, which has its defaults. */
int definition_memory_read(struct json_reader *reader, const struct json_key *key,
			   struct json_object *value, void *target);

/* New reference; NULL without memory. */
struct json_object *definition_memory_to_json(const struct definition_memory *memory);

/* The most that the guest can have. */
uint64_t definition_memory_most(const struct definition_memory *memory);
