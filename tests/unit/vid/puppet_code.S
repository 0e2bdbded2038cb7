/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The code of the puppet guest (puppet.h): one routine for each thing it can be told to do. Copied
 * into guest memory, so nothing here may depend on where it lies. Every routine ends at `done`.
 */
#define PORT_DONE  0x10
#define PORT_FAULT 0x11
#define COUNTER    0x9000
#define APIC_EOI   0xfee000b0

	.section .rodata, "a"
	.code64
	.globl puppet_code, puppet_code_end
	.globl puppet_rdmsr, puppet_wrmsr, puppet_call, puppet_call_32, puppet_out, puppet_store, puppet_load
	.globl puppet_wait, puppet_spin, puppet_count, puppet_shutdown, puppet_touch, puppet_cpuid
	.globl puppet_fault_ud, puppet_fault_gp, puppet_fault_pf, puppet_interrupt, puppet_interrupt_unended, puppet_ap

puppet_code:
puppet_rdmsr:
	rdmsr
	jmp done
puppet_wrmsr:
	wrmsr
	jmp done
puppet_call:
	call *%r9
	jmp done
/* For 32-bit code, as is everything here that has no 64-bit register in it. */
	.code32
puppet_call_32:
	call *%ebp
	jmp done
	.code64
puppet_out:
	out %eax, %dx
	jmp done
puppet_store:
	mov %eax, (%rdi)
	jmp done
puppet_load:
	mov (%rdi), %eax
	jmp done
puppet_cpuid:
	cpuid
	jmp done
puppet_wait:
	sti
	hlt
	cli
	jmp done
puppet_spin:
	pause
	jmp puppet_spin
/* Counts at RDI, and in RBX. */
puppet_count:
	incl (%rdi)
	inc %rbx
	jmp puppet_count
/* Writes a byte into each of RCX pages from RDI. */
puppet_touch:
	movb $1, (%rdi)
	add $4096, %rdi
	dec %rcx
	jnz puppet_touch
	jmp done
/* Loads the empty interrupt table at RDI: the next exception is the third fault. */
puppet_shutdown:
	lidt (%rdi)
	ud2
done:
	out %al, $PORT_DONE
	hlt
	jmp done

puppet_fault_ud:
	mov $6, %r15d
	jmp fault
puppet_fault_gp:
	mov $13, %r15d
	jmp fault
puppet_fault_pf:
	mov $14, %r15d
fault:
	out %al, $PORT_FAULT
	hlt
	jmp fault

puppet_interrupt:
	push %rax
	mov $COUNTER, %eax
	incl (%rax)
	mov $APIC_EOI, %eax
	movl $0, (%rax)
	pop %rax
	iretq
puppet_interrupt_unended:
	push %rax
	mov $COUNTER, %eax
	incl (%rax)
	pop %rax
	iretq

/* Where a second vp starts, in real mode: counts itself, and waits for ever. */
	.code16
puppet_ap:
	xor %ax, %ax
	mov %ax, %ds
	incl COUNTER
	cli
puppet_ap_end:
	hlt
	jmp puppet_ap_end
puppet_code_end:
	.section .note.GNU-stack, "", @progbits
