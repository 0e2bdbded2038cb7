/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest physical addresses.
 *
 * A GPA is a type of its own, so that it cannot be dereferenced or mixed up with a host address or
 * a length. The one way from a GPA to host memory is vid_memory_map(), or the `map` member of
 * struct vsp_host_ops, which ends there; both check the whole range.
 */
#pragma once

#include <stdint.h>

#define HV_PAGE_SHIFT 12
#define HV_PAGE_SIZE  4096u

typedef struct gpa {
	uint64_t value; /* bytes */
} gpa_t;

#define GPA(address) ((gpa_t){ .value = (address) })

static inline gpa_t gpa_add(gpa_t gpa, uint64_t bytes)
{
	return GPA(gpa.value + bytes);
}

/* From a guest page frame number. Frame numbers beyond 52 bits wrap to an address no RAM has. */
static inline gpa_t gpa_from_pfn(uint64_t pfn)
{
	return GPA(pfn >> 40 ? UINT64_MAX & ~(uint64_t)(HV_PAGE_SIZE - 1) : pfn << HV_PAGE_SHIFT);
}
