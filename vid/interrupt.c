/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupts: eventfds that KVM turns into interrupts, and the routing table that says into which.
 *
 * KVM knows an interrupt source by a number, the GSI, and has one table of what each GSI means,
 * which can only be replaced as a whole. The first 24 are the pins of the IOAPIC (and, 16 of them,
 * of the PICs); those above are ours, one for each struct vid_interrupt. A GSI without a route is
 * an eventfd that nobody listens to.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define IOAPIC_PINS    24u
#define PIC_PINS       16u
#define PINS_PER_PIC   8u
#define GSI_FIRST_OURS IOAPIC_PINS
#define GSI_MAX        4096u
#define BITS_PER_WORD  64u

struct vid_interrupt {
	struct vid_partition *partition;
	struct list link;
	uint32_t gsi;
	int fd, eoi_fd;
	struct kvm_irq_routing_entry route; /* gsi 0: none */
};

static uint32_t gsi_limit(const struct vid_partition *partition)
{
	return MIN(partition->vid->capabilities.max_interrupt_routes, GSI_MAX);
}

/* ---- The routing table ---- */

static size_t table_add_pins(struct kvm_irq_routing_entry *entries)
{
	size_t count = 0;

	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
		entries[count++] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = pin },
		};
	for (uint32_t pin = 0; pin < PIC_PINS; pin++)
		entries[count++] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = pin < PINS_PER_PIC ? KVM_IRQCHIP_PIC_MASTER
								     : KVM_IRQCHIP_PIC_SLAVE,
				       .pin = pin % PINS_PER_PIC },
		};
	return count;
}

/* Caller holds interrupts_lock. */
static int partition_set_routes(struct vid_partition *partition)
{
	AUTO_FREE struct kvm_irq_routing *table = NULL;
	size_t count = IOAPIC_PINS + PIC_PINS;

	list_for_each (link, &partition->interrupts)
		count++;
	table = calloc(1, sizeof(*table) + count * sizeof(table->entries[0]));
	if (!table)
		return -ENOMEM;
	count = table_add_pins(table->entries);
	list_for_each (link, &partition->interrupts) {
		struct vid_interrupt *interrupt = container_of(link, struct vid_interrupt, link);

		if (interrupt->route.gsi != 0)
			table->entries[count++] = interrupt->route;
	}
	table->nr = (uint32_t)count;
	return ioctl(partition->fd, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
}

/* A route that KVM refuses leaves the old one in place. */
static int interrupt_set_route(struct vid_interrupt *interrupt,
			       const struct kvm_irq_routing_entry *route)
{
	struct vid_partition *partition = interrupt->partition;
	struct kvm_irq_routing_entry old;
	int r = 0;

	pthread_mutex_lock(&partition->interrupts_lock);
	old = interrupt->route;
	/* Where padding differs it is set once more. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
	if (memcmp(&old, route, sizeof(old)) != 0) {
		interrupt->route = *route;
		r = partition_set_routes(partition);
		if (r < 0)
			interrupt->route = old;
	}
	pthread_mutex_unlock(&partition->interrupts_lock);
	return r;
}

int vid_interrupts_init(struct vid_partition *partition)
{
	partition->gsis = calloc(GSI_MAX / BITS_PER_WORD, sizeof(*partition->gsis));
	return partition->gsis ? 0 : -ENOMEM;
}

void vid_interrupts_deinit(struct vid_partition *partition)
{
	free(partition->gsis);
}

/* ---- Interrupts ---- */

static int gsi_allocate(struct vid_partition *partition, uint32_t *ret_gsi)
{
	for (uint32_t gsi = GSI_FIRST_OURS; gsi < gsi_limit(partition); gsi++) {
		uint64_t bit = UINT64_C(1) << gsi % BITS_PER_WORD;
		uint64_t *word = &partition->gsis[gsi / BITS_PER_WORD];

		if (!(*word & bit)) {
			*word |= bit;
			*ret_gsi = gsi;
			return 0;
		}
	}
	return -ENOSPC;
}

static void gsi_release(struct vid_partition *partition, uint32_t gsi)
{
	partition->gsis[gsi / BITS_PER_WORD] &= ~(UINT64_C(1) << gsi % BITS_PER_WORD);
}

static int interrupt_bind(struct vid_interrupt *interrupt, bool bind)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)interrupt->fd,
		.gsi = interrupt->gsi,
		.flags = bind ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	if (bind && interrupt->eoi_fd >= 0) {
		irqfd.flags |= KVM_IRQFD_FLAG_RESAMPLE;
		irqfd.resamplefd = (uint32_t)interrupt->eoi_fd;
	}
	return ioctl(interrupt->partition->fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

static int interrupt_open(struct vid_interrupt *interrupt, bool want_eoi)
{
	interrupt->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (interrupt->fd < 0)
		return error_origin(-errno);
	if (!want_eoi)
		return 0;
	interrupt->eoi_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return interrupt->eoi_fd < 0 ? -errno : 0;
}

static void interrupt_close(struct vid_interrupt *interrupt)
{
	if (interrupt->fd >= 0)
		close(interrupt->fd);
	if (interrupt->eoi_fd >= 0)
		close(interrupt->eoi_fd);
	free(interrupt);
}
DEFINE_CLEANUP(struct vid_interrupt *, interrupt_close)

int vid_interrupt_new(struct vid_partition *partition, bool want_eoi,
		      struct vid_interrupt **ret_interrupt)
{
	CLEANUP(interrupt_closep) struct vid_interrupt *interrupt = calloc(1, sizeof(*interrupt));
	int r;

	if (!interrupt)
		return -ENOMEM;
	interrupt->partition = partition;
	interrupt->fd = interrupt->eoi_fd = -1;
	r = interrupt_open(interrupt, want_eoi);
	if (r < 0)
		return r;
	pthread_mutex_lock(&partition->interrupts_lock);
	r = gsi_allocate(partition, &interrupt->gsi);
	if (r == 0) {
		r = interrupt_bind(interrupt, true);
		if (r < 0)
			gsi_release(partition, interrupt->gsi);
		else
			list_append(&partition->interrupts, &interrupt->link);
	}
	pthread_mutex_unlock(&partition->interrupts_lock);
	if (r < 0)
		return r;
	*ret_interrupt = TAKE_PTR(interrupt);
	return 0;
}

void vid_interrupt_free(struct vid_interrupt *interrupt)
{
	struct vid_partition *partition;

	if (!interrupt)
		return;
	partition = interrupt->partition;
	pthread_mutex_lock(&partition->interrupts_lock);
	(void)interrupt_bind(interrupt, false);
	list_unlink(&interrupt->link);
	gsi_release(partition, interrupt->gsi);
	if (interrupt->route.gsi != 0)
		(void)partition_set_routes(partition);
	pthread_mutex_unlock(&partition->interrupts_lock);
	interrupt_close(interrupt);
}

int vid_interrupt_route_msi(struct vid_interrupt *interrupt, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing_entry route = {
		.gsi = interrupt->gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {
			.address_lo = (uint32_t)address,
			.address_hi = (uint32_t)(address >> 32),
			.data = data,
		},
	};

	return interrupt_set_route(interrupt, &route);
}

/* Intel SDM volume 3, "Message Signalled Interrupts". KVM takes the id's upper 24 bits above. */
#define MSI_ADDRESS 0xfee00000u
#define MSI_NMI     0x400u /* delivery mode, of the data */

static int msi_address(const struct vid_partition *partition, uint32_t apic_id,
		       uint64_t *ret_address)
{
	if (apic_id > 0xffu && !partition->vid->capabilities.x2apic_api)
		return -ENOTSUP;
	*ret_address = MSI_ADDRESS | (apic_id & 0xffu) << 12 | (uint64_t)(apic_id & ~0xffu) << 32;
	return 0;
}

int vid_interrupt_route_vector(struct vid_interrupt *interrupt, uint32_t apic_id, uint8_t vector)
{
	uint64_t address;
	int r = msi_address(interrupt->partition, apic_id, &address);

	return r < 0 ? r : vid_interrupt_route_msi(interrupt, address, vector);
}

int vid_partition_nmi(struct vid_partition *partition, uint32_t apic_id)
{
	struct kvm_msi msi = { .data = MSI_NMI };
	uint64_t address;
	int r = msi_address(partition, apic_id, &address);

	if (r < 0)
		return r;
	msi.address_lo = (uint32_t)address;
	msi.address_hi = (uint32_t)(address >> 32);
	r = ioctl(partition->fd, KVM_SIGNAL_MSI, &msi);
	if (r < 0)
		return error_origin(-errno);
	return r == 0 ? -EAGAIN : 0;
}

int vid_interrupt_route_sint(struct vid_interrupt *interrupt, uint32_t vp, uint32_t sint)
{
	struct kvm_irq_routing_entry route = {
		.gsi = interrupt->gsi,
		.type = KVM_IRQ_ROUTING_HV_SINT,
		.u.hv_sint = { .vcpu = vp, .sint = sint },
	};

	return interrupt_set_route(interrupt, &route);
}

int vid_interrupt_unroute(struct vid_interrupt *interrupt)
{
	struct kvm_irq_routing_entry none = { .gsi = 0 };

	return interrupt_set_route(interrupt, &none);
}

int vid_interrupt_fd(const struct vid_interrupt *interrupt)
{
	return interrupt->fd;
}

int vid_interrupt_eoi_fd(const struct vid_interrupt *interrupt)
{
	return interrupt->eoi_fd;
}
