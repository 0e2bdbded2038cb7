/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SynIC and hypercall pages where there is no memory.
 */
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/synic.h"
#include "tests/guest/hostile.h"
#include "tests/guest/report.h"

static void wild_synic_pages(unsigned variant)
{
	static const uint64_t pages[] = { HOSTILE_HOLE_PFN << 12, HOSTILE_WILD_PFN << 12, 0 };
	uint64_t page = pages[variant] | HV_MSR_ENABLE;

	if (!machine_write_msr(HV_MSR_SIMP, page) || !machine_write_msr(HV_MSR_SIEFP, page))
		report_note("wild SynIC pages fault");
	HOSTILE_POST((struct vmbus_message_header){ .type = VMBUS_MESSAGE_REQUEST_OFFERS });
	client_channel_ring_doorbell(hostile_channel());
	synic_disable(VMBUS_SINT);
	if (!synic_enable(VMBUS_SINT))
		guest_panic("the SynIC cannot be enabled again");
}

static void wild_hypercall_page(unsigned variant)
{
	static const uint64_t pages[] = { HOSTILE_HOLE_PFN << 12, HOSTILE_WILD_PFN << 12 };

	if (!machine_write_msr(HV_MSR_HYPERCALL, pages[variant] | HV_MSR_ENABLE))
		report_note("a wild hypercall page faults");
	if (!hypercall_enable())
		guest_panic("hypercalls cannot be enabled again");
}

const struct attack hostile_synic[] = {
	{ "SynIC pages outside RAM", wild_synic_pages, 3, HOSTILE_OPEN },
	{ "a hypercall page outside RAM", wild_hypercall_page, 2, 0 },
	{ 0 },
};
