/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hypervisor device that is not there. */
#include "tests/unit/hvshim/fake_vid.h"

#include "common/wire/tlfs.h"
#include "vid/state.h"

#include <errno.h>
#include <sys/eventfd.h>

#define TSC_KHZ 2000000

const struct vid_capabilities *vid_capabilities(const struct vid *vid)
{
	return &vid->capabilities;
}

struct vid_memory *vid_partition_memory(struct vid_partition *partition)
{
	return partition->memory;
}

struct vid *vid_partition_device(struct vid_partition *partition)
{
	return &partition->vid;
}

int vid_partition_clock(struct vid_partition *partition, struct vid_clock *ret_clock)
{
	*ret_clock = partition->clock;
	return 0;
}

uint32_t vid_vp_index(const struct vid_vp *vp)
{
	return vp->index;
}

uint32_t vid_vp_apic_id(const struct vid_vp *vp)
{
	return vp->index;
}

int vid_vp_set_cpuid(struct vid_vp *vp, const struct vid_cpuid *cpuid)
{
	vp->cpuid = *cpuid;
	return 0;
}

int vid_vp_enable_synic(struct vid_vp *vp)
{
	/* KVM wants the CPUID first. */
	if (vp->cpuid.count == 0)
		return -EINVAL;
	vp->synic_enabled = true;
	return 0;
}

int vid_vp_hyperv_cpuid(struct vid_vp *vp, struct vid_cpuid *ret_cpuid)
{
	*ret_cpuid = vp->offered;
	return 0;
}

int vid_partition_set_clock(struct vid_partition *partition, uint64_t ns)
{
	partition->clock.ns = ns;
	return 0;
}

int vid_vp_translate(struct vid_vp *vp, uint64_t address, gpa_t *ret_gpa)
{
	*ret_gpa = GPA(address);
	return 0;
}

void vid_vp_answer_msr(struct vid_vp *vp, uint64_t value)
{
	vp->answer = FAKE_VALUE;
	vp->value = value;
}

void vid_vp_answer_msr_fault(struct vid_vp *vp)
{
	vp->answer = FAKE_FAULT;
}

void vid_vp_answer_hypercall(struct vid_vp *vp, uint64_t result)
{
	vp->answer = FAKE_VALUE;
	vp->value = result;
}

int vid_vp_get_registers(struct vid_vp *vp, struct vid_registers *ret_registers)
{
	*ret_registers = vp->registers;
	return 0;
}

int vid_vp_set_registers(struct vid_vp *vp, const struct vid_registers *registers)
{
	vp->registers = *registers;
	return 0;
}

int vid_vp_get_system(struct vid_vp *vp, struct vid_system_registers *ret_system)
{
	*ret_system = vp->system;
	return 0;
}

int vid_vp_get_msr(struct vid_vp *vp, uint32_t index, uint64_t *ret_value)
{
	if (!vp->hyperv_msrs || index - HV_MSR_RANGE_BASE >= FAKE_MSRS)
		return -ENOENT;
	*ret_value = vp->msrs[index - HV_MSR_RANGE_BASE];
	return 0;
}

static int vp_set_hyperv_msr(struct vid_vp *vp, uint32_t index, uint64_t value)
{
	if (index - HV_MSR_RANGE_BASE >= FAKE_MSRS || index == vp->refused_msr)
		return -ENOENT;
	vp->msrs[index - HV_MSR_RANGE_BASE] = value;
	if (vp->written < FAKE_MSRS)
		vp->order[vp->written++] = index;
	return 0;
}

int vid_vp_set_msr(struct vid_vp *vp, uint32_t index, uint64_t value)
{
	if (vp->hyperv_msrs)
		return vp_set_hyperv_msr(vp, index, value);
	if (!vp->partition->vid.capabilities.hyperv_vapic || index < HV_MSR_EOI ||
	    index > HV_MSR_TPR)
		return -ENOENT;
	vp->apic_writes++;
	vp->apic_msr = index;
	return 0;
}

int vid_vp_set_lazy_eoi(struct vid_vp *vp, gpa_t gpa, bool enable)
{
	vp->lazy_eoi = enable;
	return 0;
}

int vid_vp_inject_exception(struct vid_vp *vp, uint8_t vector)
{
	vp->exception = vector;
	return 0;
}

int vid_vp_inject_interrupt(struct vid_vp *vp, uint8_t vector)
{
	if (vp->refuses)
		return VID_E_NOT_NOW;
	vp->interrupts++;
	vp->vector = vector;
	return 0;
}

void vid_vp_kick(struct vid_vp *vp)
{
	vp->kicks++;
}

int64_t vid_vp_tsc_khz(struct vid_vp *vp)
{
	return TSC_KHZ;
}

int vid_vp_tsc_offset(struct vid_vp *vp, uint64_t *ret_offset)
{
	*ret_offset = 0;
	return 0;
}

int vid_interrupt_new(struct vid_partition *partition, bool want_eoi,
		      struct vid_interrupt **ret_interrupt)
{
	struct vid_interrupt *interrupt = calloc(1, sizeof(*interrupt));

	if (!interrupt)
		return -ENOMEM;
	interrupt->partition = partition;
	interrupt->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	interrupt->eoi_fd = want_eoi ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	partition->interrupts++;
	partition->newest = interrupt;
	*ret_interrupt = interrupt;
	return 0;
}

void vid_interrupt_free(struct vid_interrupt *interrupt)
{
	if (!interrupt)
		return;
	interrupt->partition->interrupts--;
	close(interrupt->fd);
	if (interrupt->eoi_fd >= 0)
		close(interrupt->eoi_fd);
	free(interrupt);
}

static int interrupt_route(struct vid_interrupt *interrupt, enum fake_route route, uint32_t target,
			   uint32_t vector)
{
	interrupt->route = route;
	interrupt->target = target;
	interrupt->vector = vector;
	return 0;
}

int vid_interrupt_route_vector(struct vid_interrupt *interrupt, uint32_t apic_id, uint8_t vector)
{
	return interrupt_route(interrupt, FAKE_VECTOR, apic_id, vector);
}

int vid_interrupt_route_sint(struct vid_interrupt *interrupt, uint32_t vp, uint32_t sint)
{
	return interrupt_route(interrupt, FAKE_SINT, vp, sint);
}

int vid_interrupt_unroute(struct vid_interrupt *interrupt)
{
	return interrupt_route(interrupt, FAKE_UNROUTED, 0, 0);
}

int vid_interrupt_fd(const struct vid_interrupt *interrupt)
{
	return interrupt->fd;
}

int vid_interrupt_eoi_fd(const struct vid_interrupt *interrupt)
{
	return interrupt->eoi_fd;
}

int vid_doorbell_add(struct vid_partition *partition, uint16_t port, uint32_t value, int event_fd)
{
	if (partition->connect_error == 0)
		partition->doorbells++;
	return partition->connect_error;
}

int vid_doorbell_remove(struct vid_partition *partition, uint16_t port, uint32_t value,
			int event_fd)
{
	partition->doorbells--;
	return 0;
}

int vid_connection_add(struct vid_partition *partition, uint32_t connection_id, int event_fd)
{
	if (partition->connect_error == 0)
		partition->connections++;
	return partition->connect_error;
}

int vid_connection_remove(struct vid_partition *partition, uint32_t connection_id)
{
	partition->connections--;
	return 0;
}
