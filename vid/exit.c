/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exits: what KVM reports, turned into a struct vid_exit; and the answers to them.
 */
#include "vid/internal.h"

#include <string.h>

static void exit_io(struct vid_vp *vp, struct vid_exit *exit)
{
	struct kvm_run *run = vp->run;

	exit->kind = VID_EXIT_IO_PORT;
	exit->io.port = run->io.port;
	exit->io.size = run->io.size;
	exit->io.write = run->io.direction == KVM_EXIT_IO_OUT;
	exit->io.count = run->io.count;
	exit->io.data = (uint8_t *)run + run->io.data_offset;
}

static void exit_mmio(struct vid_vp *vp, struct vid_exit *exit)
{
	struct kvm_run *run = vp->run;

	exit->kind = VID_EXIT_MMIO;
	exit->mmio.gpa = GPA(run->mmio.phys_addr);
	exit->mmio.size = (uint8_t)run->mmio.len;
	exit->mmio.write = run->mmio.is_write;
	exit->mmio.data = run->mmio.data;
}

static void exit_msr(struct vid_vp *vp, struct vid_exit *exit)
{
	struct kvm_run *run = vp->run;
	bool write = run->exit_reason == KVM_EXIT_X86_WRMSR;

	exit->kind = write ? VID_EXIT_MSR_WRITE : VID_EXIT_MSR_READ;
	exit->msr.index = run->msr.index;
	exit->msr.value = write ? run->msr.data : 0;
	run->msr.error = 1;
}

static void exit_error(struct vid_exit *exit, uint32_t reason, const char *text)
{
	exit->kind = VID_EXIT_ERROR;
	exit->error.reason = reason;
	exit->error.text = text;
}

static void exit_hyperv(struct vid_vp *vp, struct vid_exit *exit)
{
	const struct kvm_hyperv_exit *hyperv = &vp->run->hyperv;

	switch (hyperv->type) {
	case KVM_EXIT_HYPERV_SYNIC:
		exit->kind = VID_EXIT_SYNIC;
		exit->synic.msr = hyperv->u.synic.msr;
		exit->synic.control = hyperv->u.synic.control;
		exit->synic.event_page = hyperv->u.synic.evt_page;
		exit->synic.message_page = hyperv->u.synic.msg_page;
		return;
	case KVM_EXIT_HYPERV_HCALL:
		exit->kind = VID_EXIT_HYPERCALL;
		exit->hypercall.input = hyperv->u.hcall.input;
		exit->hypercall.params[0] = hyperv->u.hcall.params[0];
		exit->hypercall.params[1] = hyperv->u.hcall.params[1];
		return;
	}
	exit_error(exit, hyperv->type, "unknown kind of Hyper-V exit");
}

static void exit_halt(struct vid_vp *vp, struct vid_exit *exit)
{
	exit->kind = VID_EXIT_HALT;
}

static void exit_shutdown(struct vid_vp *vp, struct vid_exit *exit)
{
	exit->kind = VID_EXIT_SHUTDOWN;
}

static void exit_kick(struct vid_vp *vp, struct vid_exit *exit)
{
	exit->kind = VID_EXIT_KICK;
}

static void exit_fail_entry(struct vid_vp *vp, struct vid_exit *exit)
{
	exit_error(exit, (uint32_t)vp->run->fail_entry.hardware_entry_failure_reason,
		   "the CPU refused to enter the guest");
}

static void exit_unknown(struct vid_vp *vp, struct vid_exit *exit)
{
	exit_error(exit, (uint32_t)vp->run->hw.hardware_exit_reason,
		   "the CPU left the guest for a reason that KVM does not know");
}

static void exit_internal_error(struct vid_vp *vp, struct vid_exit *exit)
{
	static const struct {
		uint32_t suberror;
		const char *text;
	} table[] = {
		{ KVM_INTERNAL_ERROR_EMULATION, "KVM cannot emulate an instruction of the guest" },
		{ KVM_INTERNAL_ERROR_SIMUL_EX, "exceptions coincided in a way KVM cannot handle" },
		{ KVM_INTERNAL_ERROR_DELIVERY_EV, "delivering an event to the guest failed" },
		{ KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, "KVM met an unexpected exit" },
	};
	uint32_t suberror = vp->run->internal.suberror;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].suberror == suberror) {
			exit_error(exit, suberror, table[i].text);
			return;
		}
	}
	exit_error(exit, suberror, "internal error of KVM");
}

static void exit_system_event(struct vid_vp *vp, struct vid_exit *exit)
{
	exit_error(exit, vp->run->system_event.type, "system event of a kind we did not ask for");
}

static void (*const exit_table[])(struct vid_vp *vp, struct vid_exit *exit) = {
	[KVM_EXIT_UNKNOWN] = exit_unknown,
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_HLT] = exit_halt,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = exit_kick,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTR] = exit_kick,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
	[KVM_EXIT_HYPERV] = exit_hyperv,
	[KVM_EXIT_X86_RDMSR] = exit_msr,
	[KVM_EXIT_X86_WRMSR] = exit_msr,
};

int vid_exit_decode(struct vid_vp *vp, struct vid_exit *ret_exit)
{
	uint32_t reason = vp->run->exit_reason;

	if (reason >= ARRAY_SIZE(exit_table) || !exit_table[reason])
		exit_error(ret_exit, reason, "unknown kind of exit");
	else
		exit_table[reason](vp, ret_exit);
	return 0;
}

void vid_vp_answer_msr(struct vid_vp *vp, uint64_t value)
{
	vp->run->msr.error = 0;
	if (vp->run->exit_reason == KVM_EXIT_X86_RDMSR)
		vp->run->msr.data = value;
}

void vid_vp_answer_msr_fault(struct vid_vp *vp)
{
	vp->run->msr.error = 1;
}

void vid_vp_answer_hypercall(struct vid_vp *vp, uint64_t result)
{
	vp->run->hyperv.u.hcall.result = result;
}
