/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A boot sector, for a VM with a BIOS: it reads sectors 1 to 31 of its disk, of which the last begins
 * with MARK, waits for a key, writes sector 31 to sector 40 with the key in front of it, and turns
 * the machine off. Ralf Brown's interrupt list: INT 10/0E, INT 13/42 and 43, INT 16/00.
 */
#define MARK      0x21334455
#define BUFFER    0x8000
#define LAST      (BUFFER + 30 * 512)
#define PM1_PORT  0x604
#define PM1_SLEEP 0x3400 /* S5 */

	.code16
	.globl	_start
_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	sti
	cld
	movb	%dl, drive
	movw	$begin, %si
	call	print
	movw	$packet, %si
	movb	$0x42, %ah
	call	disk
	cmpl	$MARK, LAST
	jne	bad
	movw	$ready, %si
	call	print
	xorb	%ah, %ah
	int	$0x16
	movb	%al, LAST
	movw	$1, packet + 2
	movw	$LAST, packet + 4
	movw	$40, packet + 8
	movw	$packet, %si
	movw	$0x4300, %ax
	call	disk
	movw	$good, %si
	call	print
	jmp	off
bad:
	movw	$wrong, %si
	call	print
off:
	movw	$PM1_PORT, %dx
	movw	$PM1_SLEEP, %ax
	outw	%ax, %dx
1:
	hlt
	jmp	1b

disk:
	movb	drive, %dl
	int	$0x13
	jc	bad
	ret

print:
	lodsb
	testb	%al, %al
	jz	2f
	movb	$0x0e, %ah
	movw	$7, %bx
	int	$0x10
	jmp	print
2:
	ret

drive:
	.byte	0
	.balign	4
packet:
	.byte	16, 0
	.word	31		/* sectors */
	.word	BUFFER, 0
	.quad	1		/* the first of them */
begin:
	.asciz	"boot-sector: begin\r\n"
ready:
	.asciz	"boot-sector: press a key\r\n"
good:
	.asciz	"boot-sector: end\r\n"
wrong:
	.asciz	"boot-sector: wrong\r\n"
	.org	510
	.word	0xaa55
