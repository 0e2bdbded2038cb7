/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The option ROM's image: an expansion header for UEFI, a PCI data structure, and the driver.
 * Sources: UEFI specification 2.10, 14.4.2.1; PCI Firmware Specification 3.2, 5.1.2.
 */
	.section .rodata, "a", @progbits
	.globl option_rom_image
	.type option_rom_image, @object
	.balign 16
option_rom_image:
	.word 0xaa55
	.word (rom_end - option_rom_image) / 512
	.long 0x0ef1                    /* UEFI's */
	.word 11                        /* a driver for boot services */
	.word 0x8664                    /* x86-64 */
	.word 0                         /* not compressed */
	.skip 8
	.word rom_driver - option_rom_image
	.word rom_data - option_rom_image
	.balign 4
rom_data:
	.ascii "PCIR"
	.word 0x1414, 0xb007            /* vmwp/chipset/pci.c */
	.word 0                         /* no list of devices */
	.word rom_data_end - rom_data
	.byte 3                         /* as of PCI 3.0 */
	.byte 0x00, 0x00, 0x01          /* class */
	.word (rom_end - option_rom_image) / 512
	.word 0
	.byte 3                         /* UEFI */
	.byte 0x80                      /* the last one */
	.word 0
	.word (rom_end - option_rom_image) / 512
	.word 0
	.word 0
rom_data_end:
	.balign 16
rom_driver:
	.incbin OPTION_ROM_DRIVER
	.balign 512
rom_end:
	.org option_rom_image + 32768, 0xff
	.size option_rom_image, . - option_rom_image

	.section .note.GNU-stack, "", @progbits
