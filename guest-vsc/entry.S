/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel-mode half of a guest: from the PVH entry to ring 3, and the ways back.
 *
 * All of a guest's C runs in ring 3. Kernel mode may be emulated by the host one instruction at a
 * time, a thousand times slower than user mode, so what stays here is as short as it can be, and
 * every table is laid out by the assembler rather than filled in by code:
 *
 *   machine_entry      32-bit protected mode, as PVH hands over, into long mode and to ring 3;
 *   interrupt_entry    counts the interrupt and ends it;
 *   gate_entry         INT3: what only ring 0 may do (MSRs, CPUID, hypercalls at CPL 0, HLT);
 *   exception_entry    sends ring 3 to machine_try()'s caller, or to machine_fault(), and fails
 *                      the gate's operation if it was that.
 *
 * A KVM that runs guests in hardware ring 3 answers INT n there with #UD, hence INT3; and CPUID
 * with the leaves of the CPU itself, hence the gate's.
 *
 * The TSS has an all-zero I/O permission map, so that ring 3 may use every port. Interrupts are
 * enabled in ring 3 and nowhere else but in the gate's HLT.
 *
 * Sources: Xen's docs/misc/pvh.pandoc (entry state, ELF note); AMD64 Architecture Programmer's
 * Manual volume 2, chapters 4, 5, 8 and 12.
 */
#include "guest-vsc/machine_layout.h"

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_DATA   0x1b
#define USER_CODE   0x23
#define TASK        0x28

#define CR0_PE   (1 << 0)
#define CR0_MP   (1 << 1)
#define CR0_NE   (1 << 5)
#define CR0_PG   (1 << 31)
#define CR4_PAE  (1 << 5)
#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)

#define RFLAGS_IF 0x200


/* struct of five words that the CPU pushes, below the top of the kernel stack */
#define FRAME_SIZE 40

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 8, 18 /* name size, value size, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad machine_entry

	.section .text.entry, "ax", @progbits
	.globl machine_entry_base
machine_entry_base:

	.code32
	.globl machine_entry
machine_entry:
	cld
	movl %ebx, machine_start_info
	lgdt gdt_pointer
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $page_map, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl $(CR0_PG | CR0_NE | CR0_MP | CR0_PE), %eax
	movl %eax, %cr0
	ljmp $KERNEL_CODE, $long_mode

	.code64
long_mode:
	movl $KERNEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $kernel_stack_top, %esp

	/* The one table that the assembler cannot write: an address in pieces. */
	movl $task_state, %eax
	movw %ax, gdt_task + 2
	shrl $16, %eax
	movb %al, gdt_task + 4
	movb %ah, gdt_task + 7
	movl $TASK, %eax
	ltr %ax
	lidt idt_pointer

	movl $USER_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	pushq $USER_DATA
	pushq $user_stack_top
	pushq $RFLAGS_IF
	pushq $USER_CODE
	pushq $user_entry
	iretq

user_entry:
	xorl %ebp, %ebp
	call machine_start
	ud2

/* ---- Interrupts ---- */

interrupt_entry:
	incq machine_interrupt_count
	movl $0, MACHINE_LAPIC + MACHINE_LAPIC_EOI
spurious_entry:
	iretq

/*
 * ---- The gate ----
 * struct machine_result machine_gate(uint64_t operation, uint64_t a, uint64_t b, uint64_t c)
 * RAX is the value and RDX the fault: 0, or the vector of the exception plus one. A C function
 * call for ring 3, so the operations may use what a call may.
 */
	.globl machine_gate
machine_gate:
	int3
	ret

gate_entry:
	jmp *gate_operations(,%rdi,8)

gate_read_msr:
	movl %esi, %ecx
	rdmsr
	shlq $32, %rdx
	orq %rdx, %rax
	xorl %edx, %edx
	iretq

gate_write_msr: /* a: index, b: value */
	movl %esi, %ecx
	movl %edx, %eax
	shrq $32, %rdx
	wrmsr
	xorl %edx, %edx
	iretq

gate_call: /* a: RCX, b: RDX, c: R8 of a hypercall */
	movq %rcx, %r8
	movq %rsi, %rcx
	call hypercall_page
	xorl %edx, %edx
	iretq

gate_halt: /* a: the count of interrupts that the caller knows of */
	cmpq machine_interrupt_count, %rsi
	jne 1f
	sti
	hlt
1:	xorl %edx, %edx
	iretq

gate_cpuid: /* a: leaf, b: where EAX, EBX, ECX and EDX go */
	pushq %rbx
	movl %esi, %eax
	xorl %ecx, %ecx
	movq %rdx, %rsi
	cpuid
	movl %eax, (%rsi)
	movl %ebx, 4(%rsi)
	movl %ecx, 8(%rsi)
	movl %edx, 12(%rsi)
	popq %rbx
	xorl %edx, %edx
	iretq

/* ---- Exceptions ---- */

	.macro exception_stub vector, has_code
exception_\vector:
	.ifeq \has_code
	pushq $0
	.endif
	pushq $\vector
	jmp exception_entry
	.endm

	.irp vector, 0, 1, 2, 4, 5, 6, 7, 9, 15, 16, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 31
	exception_stub \vector, 0
	.endr
	.irp vector, 8, 10, 11, 12, 13, 14, 17, 21, 29, 30
	exception_stub \vector, 1
	.endr

/* On the stack, from the top: vector, error code, RIP, CS, RFLAGS, RSP, SS. */
exception_entry:
	popq machine_exception_vector
	popq machine_exception_code
	testb $3, 8(%rsp)
	jz 2f
	pushq %rax
	movq 8(%rsp), %rax
	movq %rax, machine_exception_rip
	movq %cr2, %rax
	movq %rax, machine_exception_cr2
	movq try_stack, %rax
	testq %rax, %rax
	jz 1f
	movq %rax, 32(%rsp)
	movq $try_failed, 8(%rsp)
	popq %rax
	iretq

1:	/* Nobody expected it: start anew in machine_fault(). */
	movq $user_stack_top, 32(%rsp)
	movq $fault_entry, 8(%rsp)
	popq %rax
	iretq

2:	/* In ring 0 only the gate's operations run; leave by the frame it came with. */
	movq $(kernel_stack_top - FRAME_SIZE), %rsp
	movq machine_exception_vector, %rdx
	incq %rdx
	iretq

fault_entry:
	call machine_fault
	ud2

/* bool machine_try(void (*function)(void *argument), void *argument) */
	.globl machine_try
machine_try:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	subq $8, %rsp
	movq %rsp, try_stack
	movq %rdi, %rax
	movq %rsi, %rdi
	call *%rax
	movl $1, %eax
	jmp 1f
try_failed:
	cld
	xorl %eax, %eax
1:	movq $0, try_stack
	addq $8, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

/* uint64_t machine_call_hypercall_page(uint64_t control, uint64_t first, uint64_t second) */
	.globl machine_call_hypercall_page
machine_call_hypercall_page:
	movq %rdx, %r8
	movq %rsi, %rdx
	movq %rdi, %rcx
	jmp hypercall_page

/* ---- Tables ---- */

	.section .rodata.entry, "a", @progbits
	.balign 8
gate_operations:
	.quad gate_read_msr, gate_write_msr, gate_call, gate_halt, gate_cpuid

	.section .data.entry, "aw", @progbits

	.macro idt_gate handler, type
	.word \handler - machine_entry_base
	.word KERNEL_CODE
	.word \type
	.word MACHINE_ENTRY_BASE >> 16
	.quad 0
	.endm

	.balign 16
idt:
	.irp vector, 0, 1, 2
	idt_gate exception_\vector, 0x8e00
	.endr
	idt_gate gate_entry, 0xee00 /* #BP */
	.irp vector, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, \
		22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	idt_gate exception_\vector, 0x8e00
	.endr
	.fill (MACHINE_VECTOR_INTERRUPT - 32) * 2, 8, 0
	idt_gate interrupt_entry, 0x8e00
	.fill (MACHINE_VECTOR_SPURIOUS - MACHINE_VECTOR_INTERRUPT - 1) * 2, 8, 0
	idt_gate spurious_entry, 0x8e00
idt_end:

	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* KERNEL_CODE */
	.quad 0x00cf93000000ffff /* KERNEL_DATA */
	.quad 0x00cff3000000ffff /* USER_DATA */
	.quad 0x00affb000000ffff /* USER_CODE */
gdt_task:
	.word task_state_end - task_state - 1
	.word 0
	.byte 0, 0x89, 0, 0
	.quad 0
gdt_end:

	.balign 8
	.word 0, 0, 0
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
	.balign 8
	.word 0, 0, 0
idt_pointer:
	.word idt_end - idt - 1
	.quad idt

	.balign 16
task_state:
	.long 0
	.quad kernel_stack_top
	.fill 90, 1, 0
	.word 0x68 /* where the I/O permission map begins */
	.fill 8192, 1, 0
	.byte 0xff
task_state_end:

	.balign 4096
page_map:
	.quad machine_directory_pointers + MACHINE_PTE_TABLE
	.fill 511, 8, 0
	.globl machine_directory_pointers
machine_directory_pointers:
	.quad page_directory + MACHINE_PTE_TABLE
	.fill 511, 8, 0
page_directory:
	.set number, 0
	.rept 510
	.quad (number << 21) + MACHINE_PTE_MEMORY
	.set number, number + 1
	.endr
	.globl machine_device_entry
machine_device_entry:
	.quad 0
	.quad MACHINE_LAPIC_PHYSICAL + MACHINE_PTE_DEVICE

	.globl machine_start_info, machine_interrupt_count
	.globl machine_exception_vector, machine_exception_code
	.globl machine_exception_rip, machine_exception_cr2
machine_start_info:
	.quad 0
machine_interrupt_count:
	.quad 0
machine_exception_vector:
	.quad 0
machine_exception_code:
	.quad 0
machine_exception_rip:
	.quad 0
machine_exception_cr2:
	.quad 0
try_stack:
	.quad 0

	.bss
	.balign 4096
	.globl hypercall_page
hypercall_page:
	.skip 4096
	.skip 4096
kernel_stack_top:
	.skip 65536
user_stack_top:

	.section .note.GNU-stack, "", @progbits
