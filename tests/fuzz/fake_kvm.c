/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A KVM that is none. */
#include "tests/fuzz/fake_kvm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RUN_SIZE  (3 * HV_PAGE_SIZE)
#define RFLAGS_IF (UINT64_C(1) << 9)

struct fake_kvm fake_kvm;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, ...);

static void require(bool condition)
{
	if (!condition)
		abort();
}

uint64_t fake_kvm_take(unsigned bytes)
{
	uint64_t value = 0;

	for (; bytes > 0; bytes--) {
		value = value << 8 | (fake_kvm.size > 0 ? *fake_kvm.input : 0);
		fake_kvm.input += fake_kvm.size > 0;
		fake_kvm.size -= fake_kvm.size > 0;
	}
	return value;
}

void fake_kvm_make(struct vid *vid)
{
	struct vid_capabilities *capabilities = &vid->capabilities;

	*vid = (struct vid){ .fd = -1, .run_size = RUN_SIZE };
	memset(capabilities, 1, offsetof(struct vid_capabilities, max_vps));
	capabilities->max_vps = FAKE_KVM_VPS;
	capabilities->max_interrupt_routes = 1024;
	capabilities->max_apic_id = UINT8_MAX;
	capabilities->apic_virtualization = false;
}

void fake_kvm_write(size_t slot, unsigned page)
{
	if (fake_kvm.logs[slot])
		fake_kvm.dirty[slot] |= UINT64_C(1) << page;
}

void fake_kvm_forget(void)
{
	for (int i = 0; i < fake_kvm.vps; i++)
		munmap(fake_kvm.runs[i], RUN_SIZE);
	fake_kvm.vps = 0;
	memset(fake_kvm.logs, 0, sizeof(fake_kvm.logs));
	memset(fake_kvm.dirty, 0, sizeof(fake_kvm.dirty));
	require(fake_kvm.doorbells == 0 && fake_kvm.connections == 0 && fake_kvm.irqfds == 0);
}

static int fail(int error)
{
	errno = error;
	return -1;
}

static int create_vp(void)
{
	int fd = memfd_create("vp", MFD_CLOEXEC);

	require(fake_kvm.vps < FAKE_KVM_VPS && fd >= 0 && ftruncate(fd, RUN_SIZE) == 0);
	fake_kvm.vp_fds[fake_kvm.vps] = fd;
	fake_kvm.runs[fake_kvm.vps] =
		mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	require(fake_kvm.runs[fake_kvm.vps] != MAP_FAILED);
	fake_kvm.vps++;
	return fd;
}

/* ---- Exits ---- */

static struct kvm_run *run_of(int fd)
{
	for (int i = 0; i < fake_kvm.vps; i++)
		if (fake_kvm.vp_fds[i] == fd)
			return fake_kvm.runs[i];
	abort();
}

/* Hyper-V's are what the guest is most likely to want. */
static uint32_t any_msr(void)
{
	uint32_t number = (uint32_t)fake_kvm_take(1);

	return number < 0xf0 ? 0x40000000 + number : (uint32_t)fake_kvm_take(4);
}

static void exit_io(struct kvm_run *run)
{
	uint8_t kind = (uint8_t)fake_kvm_take(1);

	run->io.direction = kind & 1 ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = (uint8_t)(1u << kind / 2 % 3);
	run->io.port = (uint16_t)(kind & 0x80 ? fake_kvm_take(2) : 0xe4 + kind / 8 % 4);
	run->io.count = kind & 0x40 ? HV_PAGE_SIZE / run->io.size : 1;
	run->io.data_offset = HV_PAGE_SIZE;
	memset((uint8_t *)run + HV_PAGE_SIZE, kind, HV_PAGE_SIZE);
}

static void exit_mmio(struct kvm_run *run)
{
	run->mmio.phys_addr = fake_kvm_take(8);
	run->mmio.len = 1u << fake_kvm_take(1) % 4;
	run->mmio.is_write = fake_kvm_take(1) & 1;
}

static void exit_msr(struct kvm_run *run)
{
	run->msr.index = any_msr();
	run->msr.data = fake_kvm_take(8);
	run->msr.error = 0;
}

static void exit_hyperv(struct kvm_run *run)
{
	run->hyperv.type = (uint32_t)fake_kvm_take(1) % 4;
	if (run->hyperv.type == KVM_EXIT_HYPERV_HCALL) {
		run->hyperv.u.hcall.input = fake_kvm_take(8);
		run->hyperv.u.hcall.params[0] = fake_kvm_take(8);
		run->hyperv.u.hcall.params[1] = fake_kvm_take(8);
	} else {
		run->hyperv.u.synic.control = fake_kvm_take(1);
		run->hyperv.u.synic.evt_page = fake_kvm_take(4);
		run->hyperv.u.synic.msg_page = fake_kvm_take(4);
	}
}

static void exit_other(struct kvm_run *run)
{
	run->internal.suberror = (uint32_t)fake_kvm_take(1);
}

static int run(int fd)
{
	static const struct {
		uint32_t reason;
		void (*fill)(struct kvm_run *run);
	} table[] = {
		{ KVM_EXIT_IO, exit_io },
		{ KVM_EXIT_MMIO, exit_mmio },
		{ KVM_EXIT_X86_RDMSR, exit_msr },
		{ KVM_EXIT_X86_WRMSR, exit_msr },
		{ KVM_EXIT_X86_WRMSR, exit_msr },
		{ KVM_EXIT_HYPERV, exit_hyperv },
		{ KVM_EXIT_INTERNAL_ERROR, exit_other },
		{ KVM_EXIT_SHUTDOWN, exit_other },
		{ KVM_EXIT_HLT, exit_other },
		{ KVM_EXIT_SYSTEM_EVENT, exit_other },
		{ KVM_EXIT_FAIL_ENTRY, exit_other },
		{ KVM_EXIT_UNKNOWN, exit_other },
		{ KVM_EXIT_DEBUG, exit_other },
		{ 1000, exit_other },
	};
	struct kvm_run *run = run_of(fd);
	uint8_t kind = (uint8_t)fake_kvm_take(1);

	if (kind >= 0xf8)
		return fail(fake_kvm.size > 0 && kind & 1 ? EAGAIN : EINTR);
	run->exit_reason = table[kind % ARRAY_SIZE(table)].reason;
	table[kind % ARRAY_SIZE(table)].fill(run);
	return 0;
}

/* ---- The state of a vp ---- */

static int get_events(struct kvm_vcpu_events *events)
{
	uint8_t bits = (uint8_t)fake_kvm_take(1);

	*events = (struct kvm_vcpu_events){
		.interrupt = { .injected = bits & 1, .shadow = bits >> 1 & 1 },
		.exception = { .injected = bits >> 2 & 1, .pending = bits >> 3 & 1 },
		.nmi = { .injected = bits >> 4 & 1 },
	};
	fake_kvm.may_interrupt = !(bits & 0x1f);
	return 0;
}

static int get_regs(struct kvm_regs *regs)
{
	uint8_t bits = (uint8_t)fake_kvm_take(1);

	*regs = (struct kvm_regs){ .rflags = bits & 1 ? RFLAGS_IF : 0 };
	fake_kvm.may_interrupt &= bits & 1;
	if (bits & 0xf0) {
		regs->rax = regs->rcx = fake_kvm_take(8);
		regs->rdx = regs->rbx = regs->rsi = regs->r8 = fake_kvm_take(8);
	}
	return 0;
}

static int get_lapic(struct kvm_lapic_state *lapic)
{
	*lapic = (struct kvm_lapic_state){ .regs = { 0 } };
	lapic->regs[0x80] = (char)fake_kvm_take(1);
	for (unsigned i = 0; i < 8; i++)
		lapic->regs[0x100 + i * 16 + 3] = (char)(fake_kvm_take(1) & 0x81);
	return 0;
}

static int get_sregs(struct kvm_sregs *sregs)
{
	uint8_t bits = (uint8_t)fake_kvm_take(1);

	*sregs = (struct kvm_sregs){ .cr0 = bits & 1, .ss = { .dpl = bits & 2 ? 3 : 0 } };
	return 0;
}

/* An interrupt is injected where the vp can take one, and an exception whatever it is at. */
static int set_events(const struct kvm_vcpu_events *events)
{
	if (!fake_kvm.restores && events->interrupt.injected && !events->exception.injected) {
		require(fake_kvm.may_interrupt && events->flags == 0);
		require(events->interrupt.nr >= 16);
		fake_kvm.injected++;
	}
	return 0;
}

static int get_mp_state(struct kvm_mp_state *state)
{
	state->mp_state = fake_kvm_take(1) % 4;
	return 0;
}

static int access_msrs(struct kvm_msrs *msrs)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++)
		msrs->entries[i].data = fake_kvm_take(4);
	return fake_kvm_take(1) & 1 ? 0 : (int)msrs->nmsrs;
}

/* The TSC and Hyper-V's are in KVM's list, too. */
static int get_msr_list(struct kvm_msr_list *list)
{
	static const uint32_t indices[] = { 0x10,       0x277,      0x38f,     0x6e0,
					    0x40000000, 0xc0000081, 0x40000091 };

	if (list->nmsrs < ARRAY_SIZE(indices))
		return fail(E2BIG);
	list->nmsrs = ARRAY_SIZE(indices);
	memcpy(list->indices, indices, sizeof(indices));
	return 0;
}

/* KVM takes what it is given for the state of its chips as it is. */
static int set_chip(const struct kvm_irqchip *chip)
{
	if (chip->chip_id == KVM_IRQCHIP_IOAPIC) {
		require(chip->chip.ioapic.base_address == 0xfec00000);
		require(chip->chip.ioapic.irr < 1u << KVM_IOAPIC_NUM_PINS);
	} else {
		require(chip->chip.pic.init_state <= 3 && chip->chip.pic.priority_add < 8);
	}
	return 0;
}

/* It divides by the counts, and shifts by the modes. */
static int set_pit(const struct kvm_pit_state2 *pit)
{
	for (size_t i = 0; i < ARRAY_SIZE(pit->channels); i++) {
		require(pit->channels[i].count <= 0x10000 &&
			(pit->channels[i].mode <= 7 || pit->channels[i].mode == 0xff));
		require(pit->channels[i].rw_mode <= 3 && pit->channels[i].gate <= 1);
	}
	return fake_kvm.fails ? fail(EINVAL) : 0;
}

static int get_hyperv_cpuid(struct kvm_cpuid2 *cpuid)
{
	uint32_t count = 11;

	if (cpuid->nent < count)
		return fail(E2BIG);
	for (uint32_t i = 0; i < count; i++)
		cpuid->entries[i] = (struct kvm_cpuid_entry2){
			.function = 0x40000000 + i,
			.eax = UINT32_MAX,
			.ebx = UINT32_MAX,
			.ecx = UINT32_MAX,
			.edx = UINT32_MAX,
		};
	cpuid->nent = count;
	return 0;
}

/* ---- Memory ---- */

static int set_slot(const struct kvm_userspace_memory_region *region)
{
	bool logs = region->flags & KVM_MEM_LOG_DIRTY_PAGES;

	require(region->slot < FAKE_KVM_SLOTS);
	if (fake_kvm.fails && region->memory_size > 0)
		return fail(ENOMEM);
	if (!logs)
		fake_kvm.dirty[region->slot] = 0;
	fake_kvm.logs[region->slot] = logs;
	return 0;
}

static int get_dirty_log(struct kvm_dirty_log *log)
{
	if (fake_kvm.fails || !fake_kvm.logs[log->slot])
		return fail(ENOENT);
	memcpy(log->dirty_bitmap, &fake_kvm.dirty[log->slot], sizeof(uint64_t));
	fake_kvm.dirty[log->slot] = 0;
	return 0;
}

/* ---- All of it ---- */

static int count(int *counter, bool off)
{
	if (!off && fake_kvm.fails)
		return fail(ENOSPC);
	*counter += off ? -1 : 1;
	require(*counter >= 0);
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (_IOC_TYPE(request) != KVMIO)
		return __real_ioctl(fd, request, argument);
	switch (request) {
	case KVM_CREATE_VM:
		return memfd_create("partition", MFD_CLOEXEC);
	case KVM_CREATE_VCPU:
		return create_vp();
	case KVM_RUN:
		return run(fd);
	case KVM_GET_VCPU_EVENTS:
		return get_events(argument);
	case KVM_SET_VCPU_EVENTS:
		return set_events(argument);
	case KVM_GET_REGS:
		return get_regs(argument);
	case KVM_GET_SREGS:
		return get_sregs(argument);
	case KVM_GET_LAPIC:
		return get_lapic(argument);
	case KVM_GET_MP_STATE:
		return get_mp_state(argument);
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return access_msrs(argument);
	case KVM_CHECK_EXTENSION:
		return (uintptr_t)argument == KVM_CAP_SREGS2;
	case KVM_GET_SREGS2:
		*(struct kvm_sregs2 *)argument = (struct kvm_sregs2){
			.flags = fake_kvm_take(1) & KVM_SREGS2_FLAGS_PDPTRS_VALID,
		};
		return 0;
	case KVM_GET_MSR_INDEX_LIST:
		return get_msr_list(argument);
	case KVM_SET_IRQCHIP:
		return set_chip(argument);
	case KVM_SET_PIT2:
		return set_pit(argument);
	case KVM_SET_CLOCK:
		require(((struct kvm_clock_data *)argument)->clock <= UINT64_C(1) << 62);
		return 0;
	case KVM_SET_XSAVE:
	case KVM_SET_XCRS:
	case KVM_SET_LAPIC:
		return fake_kvm.fails ? fail(EINVAL) : 0;
	case KVM_GET_SUPPORTED_HV_CPUID:
		return get_hyperv_cpuid(argument);
	case KVM_GET_CLOCK:
		*(struct kvm_clock_data *)argument =
			(struct kvm_clock_data){ .clock = fake_kvm_take(6) };
		return 0;
	case KVM_GET_TSC_KHZ:
		return 2000000;
	case KVM_SET_USER_MEMORY_REGION:
		return set_slot(argument);
	case KVM_GET_DIRTY_LOG:
		return get_dirty_log(argument);
	case KVM_IRQFD:
		return count(&fake_kvm.irqfds,
			     ((struct kvm_irqfd *)argument)->flags & KVM_IRQFD_FLAG_DEASSIGN);
	case KVM_IOEVENTFD:
		return count(&fake_kvm.doorbells, ((struct kvm_ioeventfd *)argument)->flags &
							  KVM_IOEVENTFD_FLAG_DEASSIGN);
	case KVM_HYPERV_EVENTFD:
		return count(&fake_kvm.connections, ((struct kvm_hyperv_eventfd *)argument)->flags &
							    KVM_HYPERV_EVENTFD_DEASSIGN);
	case KVM_GET_STATS_FD:
	case KVM_GET_DEVICE_ATTR:
		return fail(ENXIO);
	default:
		return 0;
	}
}
