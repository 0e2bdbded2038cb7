/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Virtual processors: making, running and kicking them, and their registers.
 *
 * A kick must end KVM_RUN whether the vp's thread is inside it, about to enter it or far from it.
 * The kicker sets immediate_exit in the page shared with KVM, then signals the thread if it says
 * that it is inside. The thread says so before it enters. Whichever comes first, either KVM sees
 * immediate_exit on entry, or the signal finds the thread inside; both sides are sequentially
 * consistent, so they cannot miss each other.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <asm/kvm_para.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int vid_vp_new(struct vid_partition *partition, uint32_t index, uint32_t apic_id,
	       struct vid_vp **ret_vp)
{
	CLEANUP(vid_vp_freep) struct vid_vp *vp = calloc(1, sizeof(*vp));

	if (!vp)
		return -ENOMEM;
	vp->partition = partition;
	vp->index = index;
	vp->apic_id = apic_id;
	vp->statistics_fd = -1;
	vp->fd = ioctl(partition->fd, KVM_CREATE_VCPU, (unsigned long)apic_id);
	if (vp->fd < 0)
		return error_origin(-errno);
	vp->run =
		mmap(NULL, partition->vid->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vp->fd, 0);
	if (vp->run == MAP_FAILED) {
		vp->run = NULL;
		return error_origin(-errno);
	}
	vid_statistics_open(vp);
	*ret_vp = TAKE_PTR(vp);
	return 0;
}

void vid_vp_free(struct vid_vp *vp)
{
	if (!vp)
		return;
	if (vp->run)
		munmap(vp->run, vp->partition->vid->run_size);
	close_fdp(&vp->statistics_fd);
	close_fdp(&vp->fd);
	free(vp);
}

uint32_t vid_vp_index(const struct vid_vp *vp)
{
	return vp->index;
}

uint32_t vid_vp_apic_id(const struct vid_vp *vp)
{
	return vp->apic_id;
}

/* HV_X64_MSR_VP_INDEX. */
#define MSR_VP_INDEX 0x40000002u

int vid_vp_enable_synic(struct vid_vp *vp)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC2 };

	if (ioctl(vp->fd, KVM_ENABLE_CAP, &cap) < 0)
		return error_origin(-errno);
	/* KVM numbers vps in the order they were made. */
	return vid_vp_set_msr(vp, MSR_VP_INDEX, vp->index);
}

/* ---- Running ---- */

static pid_t current_thread(void)
{
	static _Thread_local pid_t thread;

	if (thread == 0)
		thread = gettid();
	return thread;
}

static atomic_uchar *vp_immediate_exit(struct vid_vp *vp)
{
	return (atomic_uchar *)&vp->run->immediate_exit;
}

static void vp_count(struct vid_vp *vp, enum vid_exit_kind kind)
{
	uint64_t count = atomic_load_explicit(&vp->exits[kind], memory_order_relaxed);

	atomic_store_explicit(&vp->exits[kind], count + 1, memory_order_relaxed);
}

bool vid_vp_is_running(const struct vid_vp *vp)
{
	return atomic_load_explicit(&vp->thread, memory_order_relaxed) != 0;
}

uint64_t vid_vp_exits(const struct vid_vp *vp, enum vid_exit_kind kind)
{
	return atomic_load_explicit(&vp->exits[kind], memory_order_relaxed);
}

int vid_vp_run(struct vid_vp *vp, struct vid_exit *ret_exit)
{
	int r;

	atomic_store(&vp->thread, current_thread());
	do {
		r = ioctl(vp->fd, KVM_RUN, 0) < 0 ? -errno : 0;
		/* A vp that waits for SIPI returns this way to have another look. */
	} while (r == -EAGAIN && !atomic_load(vp_immediate_exit(vp)));
	atomic_store(&vp->thread, 0);

	if (r == -EINTR || r == -EAGAIN) {
		atomic_store(vp_immediate_exit(vp), 0);
		*ret_exit = (struct vid_exit){ .kind = VID_EXIT_KICK };
		r = 0;
	} else if (r == 0) {
		r = vid_exit_decode(vp, ret_exit);
	}
	if (r == 0)
		vp_count(vp, ret_exit->kind);
	vp->exit_pending = r == 0 && ret_exit->kind != VID_EXIT_KICK;
	return r;
}

void vid_vp_kick(struct vid_vp *vp)
{
	pid_t thread;

	atomic_store(vp_immediate_exit(vp), 1);
	thread = atomic_load(&vp->thread);
	if (thread != 0)
		syscall(SYS_tgkill, getpid(), thread, VID_SIGNAL);
}

/* ---- Registers ---- */

int vid_vp_get_registers(struct vid_vp *vp, struct vid_registers *ret_registers)
{
	struct kvm_regs regs;

	if (ioctl(vp->fd, KVM_GET_REGS, &regs) < 0)
		return error_origin(-errno);
	*ret_registers = (struct vid_registers){
		.rax = regs.rax,
		.rbx = regs.rbx,
		.rcx = regs.rcx,
		.rdx = regs.rdx,
		.rsi = regs.rsi,
		.rdi = regs.rdi,
		.rsp = regs.rsp,
		.rbp = regs.rbp,
		.r8 = regs.r8,
		.r9 = regs.r9,
		.r10 = regs.r10,
		.r11 = regs.r11,
		.r12 = regs.r12,
		.r13 = regs.r13,
		.r14 = regs.r14,
		.r15 = regs.r15,
		.rip = regs.rip,
		.rflags = regs.rflags,
	};
	return 0;
}

int vid_vp_set_registers(struct vid_vp *vp, const struct vid_registers *registers)
{
	struct kvm_regs regs = {
		.rax = registers->rax,
		.rbx = registers->rbx,
		.rcx = registers->rcx,
		.rdx = registers->rdx,
		.rsi = registers->rsi,
		.rdi = registers->rdi,
		.rsp = registers->rsp,
		.rbp = registers->rbp,
		.r8 = registers->r8,
		.r9 = registers->r9,
		.r10 = registers->r10,
		.r11 = registers->r11,
		.r12 = registers->r12,
		.r13 = registers->r13,
		.r14 = registers->r14,
		.r15 = registers->r15,
		.rip = registers->rip,
		.rflags = registers->rflags,
	};

	return ioctl(vp->fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}

static struct vid_segment segment_from_kvm(const struct kvm_segment *segment)
{
	return (struct vid_segment){
		.base = segment->base,
		.limit = segment->limit,
		.selector = segment->selector,
		.attributes = (uint16_t)((segment->type & 15) | (segment->s & 1) << 4 |
					 (segment->dpl & 3) << 5 | (segment->present & 1) << 7 |
					 (segment->avl & 1) << 8 | (segment->l & 1) << 9 |
					 (segment->db & 1) << 10 | (segment->g & 1) << 11),
	};
}

static struct kvm_segment segment_to_kvm(const struct vid_segment *segment)
{
	uint16_t attributes = segment->attributes;

	return (struct kvm_segment){
		.base = segment->base,
		.limit = segment->limit,
		.selector = segment->selector,
		.type = attributes & 15,
		.s = attributes >> 4 & 1,
		.dpl = attributes >> 5 & 3,
		.present = attributes >> 7 & 1,
		.avl = attributes >> 8 & 1,
		.l = attributes >> 9 & 1,
		.db = attributes >> 10 & 1,
		.g = attributes >> 11 & 1,
		.unusable = !(attributes >> 7 & 1),
	};
}

int vid_vp_get_system(struct vid_vp *vp, struct vid_system_registers *ret_system)
{
	struct kvm_sregs sregs;

	if (ioctl(vp->fd, KVM_GET_SREGS, &sregs) < 0)
		return error_origin(-errno);
	*ret_system = (struct vid_system_registers){
		.cs = segment_from_kvm(&sregs.cs),
		.ds = segment_from_kvm(&sregs.ds),
		.es = segment_from_kvm(&sregs.es),
		.fs = segment_from_kvm(&sregs.fs),
		.gs = segment_from_kvm(&sregs.gs),
		.ss = segment_from_kvm(&sregs.ss),
		.tr = segment_from_kvm(&sregs.tr),
		.ldt = segment_from_kvm(&sregs.ldt),
		.gdt_base = sregs.gdt.base,
		.idt_base = sregs.idt.base,
		.gdt_limit = sregs.gdt.limit,
		.idt_limit = sregs.idt.limit,
		.cr0 = sregs.cr0,
		.cr2 = sregs.cr2,
		.cr3 = sregs.cr3,
		.cr4 = sregs.cr4,
		.cr8 = sregs.cr8,
		.efer = sregs.efer,
		.apic_base = sregs.apic_base,
	};
	return 0;
}

int vid_vp_set_system(struct vid_vp *vp, const struct vid_system_registers *system)
{
	struct kvm_sregs sregs;

	/* Keeps the pending interrupt, which struct vid_system_registers has no member for. */
	if (ioctl(vp->fd, KVM_GET_SREGS, &sregs) < 0)
		return error_origin(-errno);
	sregs.cs = segment_to_kvm(&system->cs);
	sregs.ds = segment_to_kvm(&system->ds);
	sregs.es = segment_to_kvm(&system->es);
	sregs.fs = segment_to_kvm(&system->fs);
	sregs.gs = segment_to_kvm(&system->gs);
	sregs.ss = segment_to_kvm(&system->ss);
	sregs.tr = segment_to_kvm(&system->tr);
	sregs.ldt = segment_to_kvm(&system->ldt);
	sregs.gdt = (struct kvm_dtable){ .base = system->gdt_base, .limit = system->gdt_limit };
	sregs.idt = (struct kvm_dtable){ .base = system->idt_base, .limit = system->idt_limit };
	sregs.cr0 = system->cr0;
	sregs.cr2 = system->cr2;
	sregs.cr3 = system->cr3;
	sregs.cr4 = system->cr4;
	sregs.cr8 = system->cr8;
	sregs.efer = system->efer;
	sregs.apic_base = system->apic_base;
	return ioctl(vp->fd, KVM_SET_SREGS, &sregs) < 0 ? -errno : 0;
}

int vid_vp_translate(struct vid_vp *vp, uint64_t address, gpa_t *ret_gpa)
{
	struct kvm_translation translation = { .linear_address = address };

	if (ioctl(vp->fd, KVM_TRANSLATE, &translation) < 0)
		return error_origin(-errno);
	*ret_gpa = GPA(translation.physical_address);
	return translation.valid ? 0 : -EFAULT;
}

/* struct kvm_msrs ends in a flexible array; this is one of one. */
union one_msr {
	struct kvm_msrs msrs;
	uint8_t space[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

int vid_vp_get_msr(struct vid_vp *vp, uint32_t index, uint64_t *ret_value)
{
	union one_msr msr = { .space = { 0 } };
	int r;

	msr.msrs.nmsrs = 1;
	msr.msrs.entries[0].index = index;
	r = ioctl(vp->fd, KVM_GET_MSRS, &msr);
	if (r < 0)
		return error_origin(-errno);
	if (r == 0)
		return -ENOENT;
	*ret_value = msr.msrs.entries[0].data;
	return 0;
}

int vid_vp_set_msr(struct vid_vp *vp, uint32_t index, uint64_t value)
{
	union one_msr msr = { .space = { 0 } };
	int r;

	msr.msrs.nmsrs = 1;
	msr.msrs.entries[0].index = index;
	msr.msrs.entries[0].data = value;
	r = ioctl(vp->fd, KVM_SET_MSRS, &msr);
	if (r < 0)
		return error_origin(-errno);
	return r == 0 ? -ENOENT : 0;
}

int vid_vp_set_lazy_eoi(struct vid_vp *vp, gpa_t gpa, bool enable)
{
	int r = vid_vp_set_msr(vp, MSR_KVM_PV_EOI_EN, enable ? gpa.value | KVM_MSR_ENABLED : 0);

	return r == -ENOENT ? -EFAULT : r;
}
