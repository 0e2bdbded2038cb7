/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One power cycle of the machine. */
#include "vmwp/machine/power_cycle.h"

#include "common/base/state.h"
#include "common/definition/definition.h"
#include "common/wire/vmbus.h"
#include "vid/state.h"
#include "vmwp/base/platform.h"
#include "vmwp/boot/boot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MSR_MISC_ENABLE   0x1a0u
#define FAST_STRINGS      0x1u
#define MSR_MTRR_DEF_TYPE 0x2ffu
#define MTRR_WRITE_BACK   0x6u
#define MTRR_ENABLED      0x800u

#define XAPIC_ID_MAX 254u

/* What a guest is told of by its CPUID leaves, beside the config. */
struct power_cycle_guest {
	uint32_t enlightenments;
	bool x2apic; /* a guess */
};

struct power_cycle {
	struct vid_partition *partition;
	struct hvshim *hvshim;
	struct vps *vps;
	struct bios *bios; /* generation 1's firmware, or NULL */
	struct uefi *uefi; /* generation 2's; NULL, as above: a kernel is loaded */
	uint32_t vp_count; /* made so far */
	struct vid_vp *vp[];
};

static uint32_t power_cycle_vp_total(const struct power_cycle_config *config)
{
	return topology_vp_count(&config->topology);
}

static bool power_cycle_has_firmware(const struct power_cycle *power_cycle)
{
	return power_cycle->bios || power_cycle->uefi;
}

static int power_cycle_make_partition(struct power_cycle *power_cycle,
				      const struct power_cycle_config *config,
				      struct failure *failure)
{
	struct vid_partition_config partition = { .memory = config->memory };
	int r;

	if (power_cycle->bios) {
		partition.pit = true;
		partition.rom = bios_rom(power_cycle->bios);
	} else if (power_cycle->uefi) {
		partition.rom = uefi_rom(power_cycle->uefi);
		if (config->flash)
			partition.flash = (struct vid_rom){ .gpa = GPA(PLATFORM_FLASH),
							    .bytes = config->flash,
							    .size = PLATFORM_FLASH_SIZE };
	}
	hvshim_prepare(config->engine, &partition);
	r = vid_partition_new(config->vid, &partition, &power_cycle->partition);
	if (r < 0)
		return failure_set(failure, r,
				   "KVM refuses to make a VM: %s. "
				   "`vmwp --probe` shows what it lacks.",
				   strerror(-r));
	if (power_cycle->uefi)
		uefi_forget_image(power_cycle->uefi);
	return 0;
}

/*
 * Linux keeps the x2APIC under Hyper-V if it has Hyper-V's interrupt remapping: from 5.1 on, where
 * it is 64-bit and not told otherwise, by its command line or by how it was built. So this is a
 * guess. Source: Linux drivers/iommu/hyperv-iommu.c, arch/x86/kernel/apic/apic.c
 * (try_to_enable_x2apic).
 */
static bool power_cycle_expects_x2apic(const struct boot_entry *entry)
{
	return entry->long_mode && entry->linux_release >= BOOT_LINUX(5, 1);
}

/* Others than x2APICs have ids of 8 bits, of which the last names all of them. */
static void power_cycle_note_lost_vps(const struct power_cycle_config *config,
				      const struct boot_entry *entry)
{
	uint32_t lost = 0, total = power_cycle_vp_total(config);
	char text[256];

	for (uint32_t i = 0; i < total; i++)
		lost += topology_apic_id(&config->topology, i) > XAPIC_ID_MAX;
	if (lost == 0 || power_cycle_expects_x2apic(entry))
		return;
	snprintf(
		text, sizeof(text),
		"%u of %u virtual processors have APIC ids beyond %u, and this kernel is not known "
		"to use such; sockets, cores and threads that are powers of two leave no gaps "
		"between ids",
		lost, total, XAPIC_ID_MAX);
	config->notice(config->data, text);
}

static int power_cycle_make_hvshim(struct power_cycle *power_cycle,
				   const struct power_cycle_config *config,
				   const struct power_cycle_guest *guest, struct failure *failure)
{
	const struct hvshim_config hvshim = {
		.engine = config->engine,
		.vp_count = power_cycle_vp_total(config),
		.partition = power_cycle->partition,
		.loop = config->loop,
		.callbacks = config->hvshim_callbacks,
		.data = config->data,
		.enlightenments = guest->enlightenments,
		.message_connections = { VMBUS_CONNECTION_ID_MESSAGE,
					 VMBUS_CONNECTION_ID_MESSAGE_4 },
		.x2apic_guest = guest->x2apic,
		.told_before = config->restored,
	};
	int r = hvshim_new(&hvshim, &power_cycle->hvshim);

	if (r < 0)
		return failure_set(failure, r, "The Hyper-V personality (%s engine) failed: %s.",
				   hvshim_engine_name(config->engine), strerror(-r));
	return 0;
}

/* An MSR that this KVM does not have is none that the guest finds wrong. */
static int set_msr_bits(struct vid_vp *vp, uint32_t index, uint64_t bits)
{
	uint64_t value;
	int r = vid_vp_get_msr(vp, index, &value);

	if (r == 0)
		r = vid_vp_set_msr(vp, index, value | bits);
	return r == -ENOENT ? 0 : r;
}

/*
 * What firmware leaves behind on every CPU. Linux does not use the page attribute table without
 * MTRRs, nor an Intel CPU's string instructions without fast strings. The fixed-range MTRRs stay
 * disabled: zero as they are, they would make the first MiB uncacheable. Intel SDM 3A, 12.11; SDM
 * 4, IA32_MISC_ENABLE.
 */
static int power_cycle_set_msrs(struct vid_vp *vp)
{
	int r = set_msr_bits(vp, MSR_MISC_ENABLE, FAST_STRINGS);

	return r < 0 ? r : set_msr_bits(vp, MSR_MTRR_DEF_TYPE, MTRR_ENABLED | MTRR_WRITE_BACK);
}

static int power_cycle_make_vp(struct power_cycle *power_cycle,
			       const struct power_cycle_config *config, uint32_t index,
			       struct failure *failure)
{
	struct vid_cpuid cpuid = *config->cpuid;
	int r;

	r = vid_vp_new(power_cycle->partition, index, topology_apic_id(&config->topology, index),
		       &power_cycle->vp[index]);
	if (r < 0)
		goto error;
	power_cycle->vp_count++;
	r = topology_apply(&config->topology, index, &cpuid);
	if (r < 0)
		goto error;
	r = hvshim_vp_attach(power_cycle->hvshim, power_cycle->vp[index], &cpuid);
	if (r < 0)
		goto error;
	r = power_cycle_set_msrs(power_cycle->vp[index]);
	if (r < 0)
		goto error;
	return 0;

error:
	return failure_set(failure, r, "Virtual processor %u cannot be made: %s.", index,
			   strerror(-r));
}

static struct smbios_config power_cycle_smbios(const struct power_cycle_config *config)
{
	return (struct smbios_config){
		.uuid = config->uuid,
		.sockets = config->topology.sockets,
		.cores = config->topology.cores,
		.threads = config->topology.threads,
		.ram_size = config->layout->ram[0].size + config->layout->ram[1].size,
		.ram_count = config->layout->ram_count,
		.ram = config->layout->ram,
	};
}

/* apic_ids: room for those of all vps; it is filled in. */
static struct acpi_config power_cycle_acpi(const struct power_cycle_config *config, gpa_t place,
					   gpa_t area,
					   uint32_t apic_ids[static DEFINITION_PROCESSORS_MAX])
{
	uint32_t count = power_cycle_vp_total(config);

	for (uint32_t i = 0; i < count; i++)
		apic_ids[i] = topology_apic_id(&config->topology, i);
	return (struct acpi_config){ .place = place,
				     .area = area,
				     .layout = config->layout,
				     .numa = config->numa,
				     .vp_count = count,
				     .apic_ids = apic_ids,
				     .hibernation = config->hibernation,
				     .pci = config->bios_fd >= 0 };
}

static int power_cycle_write_acpi(const struct power_cycle_config *config, gpa_t place,
				  gpa_t *ret_rsdp)
{
	uint32_t apic_ids[DEFINITION_PROCESSORS_MAX];
	const struct acpi_config acpi = power_cycle_acpi(config, place, place, apic_ids);

	return acpi_write(config->memory, &acpi, ret_rsdp);
}

static int power_cycle_write_tables(const struct power_cycle_config *config, gpa_t *ret_rsdp,
				    struct failure *failure)
{
	const struct smbios_config smbios = power_cycle_smbios(config);
	int r = power_cycle_write_acpi(config, GPA(LAYOUT_ACPI), ret_rsdp);

	if (r >= 0)
		r = smbios_write(config->memory, &smbios);
	if (r < 0)
		return failure_set(failure, r, "The firmware tables do not fit: %s.", strerror(-r));
	return 0;
}

/* ---- Generation 1's firmware ---- */

static int power_cycle_make_bios(struct power_cycle *power_cycle,
				 const struct power_cycle_config *config, struct failure *failure)
{
	const struct smbios_config smbios = power_cycle_smbios(config);
	const struct bios_config bios = { .fd = config->bios_fd,
					  .layout = config->layout,
					  .smbios = &smbios,
					  .boot_order = config->boot_order };

	return config->bios_fd < 0 ? 0 : bios_new(&bios, &power_cycle->bios, failure);
}

/* What was restored has all of it in its memory. */
static int power_cycle_load_bios(const struct power_cycle *power_cycle,
				 const struct power_cycle_config *config, struct failure *failure)
{
	gpa_t rsdp;
	int r = 0;

	if (!config->restored) {
		r = bios_load(power_cycle->bios, config->memory);
		if (r == 0)
			r = power_cycle_write_acpi(config, bios_acpi_place(config->layout), &rsdp);
	}
	if (r == 0)
		r = bios_take_rsdp(power_cycle->bios, config->memory);
	if (r < 0)
		return failure_set(failure, r, "The VM's memory is too small for its firmware: %s.",
				   strerror(-r));
	return 0;
}

/* ---- Generation 2's firmware ---- */

static int power_cycle_make_uefi(struct power_cycle *power_cycle,
				 const struct power_cycle_config *config, struct failure *failure)
{
	uint32_t apic_ids[DEFINITION_PROCESSORS_MAX];
	const struct smbios_config smbios = power_cycle_smbios(config);
	const struct acpi_config acpi =
		power_cycle_acpi(config, GPA(0), bios_acpi_place(config->layout), apic_ids);
	const struct uefi_config uefi = { .fd = config->uefi_fd,
					  .layout = config->layout,
					  .smbios = &smbios,
					  .acpi = &acpi,
					  .boot_order = config->boot_order };

	return config->uefi_fd < 0 ? 0 : uefi_new(&uefi, &power_cycle->uefi, failure);
}

static int power_cycle_load(const struct power_cycle_config *config, struct boot_entry *ret_entry,
			    struct failure *failure)
{
	struct boot_config boot = {
		.memory = config->memory,
		.layout = config->layout,
		.kernel_fd = config->kernel_fd,
		.initrd_fd = config->initrd_fd,
		.command_line = config->command_line,
	};
	int r;

	r = power_cycle_write_tables(config, &boot.rsdp, failure);
	if (r < 0)
		return r;
	return boot_load(&boot, ret_entry, failure);
}

static int power_cycle_boot(const struct power_cycle_config *config, struct boot_entry *ret_entry,
			    struct power_cycle_guest *ret_guest, struct failure *failure)
{
	int r = power_cycle_load(config, ret_entry, failure);

	if (r < 0)
		return r;
	power_cycle_note_lost_vps(config, ret_entry);
	ret_guest->x2apic = power_cycle_expects_x2apic(ret_entry);
	return 0;
}

/* A guest is told what it was told before, and nothing else, whatever could be had here. */
static int power_cycle_recall_guest(const struct power_cycle_config *config,
				    struct power_cycle_guest *ret_guest, struct failure *failure)
{
	struct state_refusal refusal = { .text = "" };
	uint32_t told;
	int r = hvshim_state_enlightenments(config->restored, &told, &refusal);

	if (r < 0)
		return failure_set(failure, r, "The VM's state cannot be restored here: %s.",
				   refusal.text);
	ret_guest->enlightenments = config->enlightenments & told;
	return 0;
}

static int power_cycle_prepare_guest(struct power_cycle *power_cycle,
				     const struct power_cycle_config *config,
				     struct boot_entry *ret_entry,
				     struct power_cycle_guest *ret_guest, struct failure *failure)
{
	int r = power_cycle->bios ? power_cycle_load_bios(power_cycle, config, failure) : 0;

	if (r < 0)
		return r;
	if (config->restored)
		return power_cycle_recall_guest(config, ret_guest, failure);
	return power_cycle_has_firmware(power_cycle)
		       ? 0
		       : power_cycle_boot(config, ret_entry, ret_guest, failure);
}

int power_cycle_new(const struct power_cycle_config *config, struct power_cycle **ret_power_cycle,
		    struct failure *failure)
{
	uint32_t total = power_cycle_vp_total(config);
	CLEANUP(power_cycle_freep)
	struct power_cycle *power_cycle =
		calloc(1, sizeof(*power_cycle) + total * sizeof(power_cycle->vp[0]));
	struct boot_entry entry = { 0 };
	struct power_cycle_guest guest = { .enlightenments = config->enlightenments };
	int r;

	if (!power_cycle)
		return -ENOMEM;
	r = power_cycle_make_bios(power_cycle, config, failure);
	if (r == 0)
		r = power_cycle_make_uefi(power_cycle, config, failure);
	if (r < 0)
		return r;
	r = power_cycle_make_partition(power_cycle, config, failure);
	if (r < 0)
		return r;
	r = power_cycle_prepare_guest(power_cycle, config, &entry, &guest, failure);
	if (r < 0)
		return r;
	r = power_cycle_make_hvshim(power_cycle, config, &guest, failure);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < total; i++) {
		r = power_cycle_make_vp(power_cycle, config, i, failure);
		if (r < 0)
			return r;
	}
	/* Firmware begins where a processor does after a reset. */
	if (!config->restored && !power_cycle_has_firmware(power_cycle))
		r = boot_start_vp(&entry, config->memory, power_cycle->vp[0]);
	if (r < 0)
		return failure_set(failure, r, "The first vp's registers cannot be set: %s.",
				   strerror(-r));
	r = vps_new(power_cycle->vp, total, config->vps_callbacks, config->data, &power_cycle->vps);
	if (r < 0)
		return failure_set(failure, r, "A vp's thread cannot be started: %s.",
				   strerror(-r));
	*ret_power_cycle = TAKE_PTR(power_cycle);
	return 0;
}

void power_cycle_free(struct power_cycle *power_cycle)
{
	if (!power_cycle)
		return;
	vps_free(power_cycle->vps);
	hvshim_free(power_cycle->hvshim);
	for (uint32_t i = 0; i < power_cycle->vp_count; i++)
		vid_vp_free(power_cycle->vp[i]);
	vid_partition_free(power_cycle->partition);
	bios_free(power_cycle->bios);
	uefi_free(power_cycle->uefi);
	free(power_cycle);
}

int power_cycle_resume(struct power_cycle *power_cycle, struct failure *failure)
{
	int r = vid_partition_start(power_cycle->partition);

	for (uint32_t i = 0; r == 0 && i < power_cycle->vp_count; i++)
		r = vid_vp_start(power_cycle->vp[i]);
	if (r == 0)
		r = hvshim_resume(power_cycle->hvshim);
	if (r < 0)
		return failure_set(failure, r, "The guest's time cannot go on: %s.", strerror(-r));
	return 0;
}

void power_cycle_add_counters(const struct power_cycle *power_cycle,
			      struct power_cycle_counters *sum)
{
	struct hvshim_counters hvshim;

	for (uint32_t i = 0; i < power_cycle->vp_count; i++) {
		uint64_t kernel_exits[VID_KERNEL_EXITS];

		vid_vp_kernel_exits(power_cycle->vp[i], kernel_exits);
		for (unsigned kind = 0; kind < VID_EXIT_KINDS; kind++)
			sum->exits[kind] += vid_vp_exits(power_cycle->vp[i], kind);
		for (unsigned kind = 0; kind < VID_KERNEL_EXITS; kind++)
			sum->kernel_exits[kind] += kernel_exits[kind];
	}
	if (!power_cycle->hvshim)
		return;
	hvshim_counters(power_cycle->hvshim, &hvshim);
	sum->interrupts += hvshim.events_signalled;
	sum->messages += hvshim.messages_posted;
	sum->timers += hvshim.timers_expired;
}

int power_cycle_nmi(struct power_cycle *power_cycle)
{
	return vid_partition_nmi(power_cycle->partition, vid_vp_apic_id(power_cycle->vp[0]));
}

uint32_t power_cycle_vp_count(const struct power_cycle *power_cycle)
{
	return power_cycle->vp_count;
}

struct vid_vp *power_cycle_vp(const struct power_cycle *power_cycle, uint32_t index)
{
	return power_cycle->vp[index];
}

int power_cycle_vp_registers(struct power_cycle *power_cycle, uint32_t index,
			     struct vid_registers *ret_registers,
			     struct vid_system_registers *ret_system)
{
	struct vid_vp *vp = power_cycle->vp[index];
	int r = vid_vp_get_registers(vp, ret_registers);

	return r < 0 ? r : vid_vp_get_system(vp, ret_system);
}

const struct bios *power_cycle_bios(const struct power_cycle *power_cycle)
{
	return power_cycle->bios;
}

size_t power_cycle_firmware_files(const struct power_cycle *power_cycle,
				  struct bios_file *ret_files)
{
	if (power_cycle->bios)
		return bios_files(power_cycle->bios, ret_files);
	return power_cycle->uefi ? uefi_files(power_cycle->uefi, ret_files) : 0;
}

struct vid_partition *power_cycle_partition(struct power_cycle *power_cycle)
{
	return power_cycle->partition;
}

struct hvshim *power_cycle_hvshim(struct power_cycle *power_cycle)
{
	return power_cycle->hvshim;
}

struct vps *power_cycle_vps(struct power_cycle *power_cycle)
{
	return power_cycle->vps;
}
