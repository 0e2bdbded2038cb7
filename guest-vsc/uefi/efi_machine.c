/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine under a driver of UEFI, for the clients of guest-vsc/: in ring 0, all memory mapped as
 * it is, and interrupts the firmware's, so that nothing here waits for one.
 */
#include "guest-vsc/uefi/efi_machine.h"

#include "guest-vsc/machine.h"

#define LOG_PORT         0x402
#define PCI_ADDRESS_PORT 0xcf8
#define PCI_DATA_PORT    0xcfc
#define PCI_ENABLE       0x80000000u

/* Code, which the hypervisor writes. */
__asm__(".section .text\n"
	".balign 4096\n"
	".globl hypercall_page\n"
	"hypercall_page:\n"
	".zero 4096\n");

bool machine_read_msr(uint32_t index, uint64_t *ret_value)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
	*ret_value = (uint64_t)high << 32 | low;
	return true;
}

bool machine_write_msr(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
	return true;
}

struct machine_cpuid machine_cpuid(uint32_t leaf)
{
	struct machine_cpuid cpuid;

	__asm__ volatile("cpuid"
			 : "=a"(cpuid.eax), "=b"(cpuid.ebx), "=c"(cpuid.ecx), "=d"(cpuid.edx)
			 : "a"(leaf), "c"(0));
	return cpuid;
}

bool machine_hypercall(uint64_t control, uint64_t first, uint64_t second, uint64_t *ret_status)
{
	*ret_status = machine_call_hypercall_page(control, first, second);
	return true;
}

/* The hypervisor keeps what its interface says: all but these. TLFS 3.7. */
uint64_t machine_call_hypercall_page(uint64_t control, uint64_t first, uint64_t second)
{
	register uint64_t r8 __asm__("r8") = second;
	uint64_t status;

	__asm__ volatile("call hypercall_page"
			 : "=a"(status), "+c"(control), "+d"(first), "+r"(r8)
			 :
			 : "memory", "cc", "r9", "r10", "r11");
	return status;
}

/* There is no other ring than this. */
bool machine_try(void (*function)(void *argument), void *argument)
{
	return false;
}

uint64_t machine_interrupts(void)
{
	return 0;
}

void machine_wait_interrupt(uint64_t seen)
{
	machine_pause();
}

void guest_panic(const char *text)
{
	for (; *text; text++)
		port_write8(LOG_PORT, (uint8_t)*text);
	port_write8(LOG_PORT, '\n');
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* By the ports: the firmware's services are not to be relied on any more. */
void efi_machine_hand_over(void)
{
	port_write32(PCI_ADDRESS_PORT,
		     PCI_ENABLE | EFI_MACHINE_PCI_FUNCTION << 8 | EFI_MACHINE_HAND_OVER);
	port_write32(PCI_DATA_PORT, 1);
}
