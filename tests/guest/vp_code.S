/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a vp runs that was woken by SIPI: real mode, in a segment of its own into which this is
 * copied. Each takes the next slot of tests/guest/guest_processors.c, and leaves there what CPUID
 * tells it. Offsets are of struct vp_segment there.
 */
#define TAKEN 0xffc
#define DONE  0xffe
#define SLOTS 0x1000

	.section .rodata
	.code16
	.globl vp_code_start, vp_code_end
vp_code_start:
	cli
	movw %cs, %ax
	movw %ax, %ds
	movw $1, %di
	lock xaddw %di, TAKEN
	shlw $5, %di
	addw $SLOTS, %di
	movl $1, %eax
	cpuid
	movl %ebx, 0(%di)
	movl %ecx, 4(%di)
	movl %edx, 8(%di)
	movl $0xb, %eax
	xorl %ecx, %ecx
	cpuid
	movl %eax, 12(%di)
	movl %ebx, 16(%di)
	movl %edx, 20(%di)
	movl $0xb, %eax
	movl $1, %ecx
	cpuid
	movl %eax, 24(%di)
	movl %ebx, 28(%di)
	lock incw DONE
1:	hlt
	jmp 1b
vp_code_end:
	.section .note.GNU-stack, "", @progbits
