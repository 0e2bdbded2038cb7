/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processor topology: APIC ids, and the CPUID leaves that tell sockets, cores and threads.
 *
 * An APIC id is the socket, core and thread number side by side, each in as many bits as it needs,
 * so that ids have gaps where a number is no power of two. Sources: Intel SDM 3A, 9.9.3; AMD APM 3,
 * appendix E.
 */
#pragma once

#include "common/base/cc.h"
#include "vid/vid.h"

#include <stdint.h>

struct topology {
	unsigned sockets, cores, threads; /* cores of a socket, threads of a core */
};

uint32_t topology_vp_count(const struct topology *topology);
uint32_t topology_apic_id(const struct topology *topology, uint32_t vp);

/*
 * Turns what the hypervisor supports (vid_cpuid_supported()) into the leaves of a vp: topology,
 * the hypervisor bit, x2APIC; and without nested virtualisation. Return: 0, -E2BIG.
 */
int topology_apply(const struct topology *topology, uint32_t vp,
		   struct vid_cpuid *cpuid) MUST_CHECK;

/* Guest physical addresses are this many bits wide. */
unsigned topology_address_bits(struct vid_cpuid *cpuid);
