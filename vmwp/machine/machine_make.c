/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The making of a machine: hypervisor device, guest memory, chipset, VMBus host. */
#include "vmwp/machine/machine_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>

static int machine_open_vid(struct machine *machine, struct resources *resources,
			    struct failure *failure)
{
	enum hvshim_engine wanted = (enum hvshim_engine)machine->definition->engine;
	int r;

	_Static_assert((int)DEFINITION_ENGINE_AUTO == (int)HVSHIM_ENGINE_AUTO &&
			       (int)DEFINITION_ENGINE_KERNEL == (int)HVSHIM_ENGINE_KERNEL &&
			       (int)DEFINITION_ENGINE_USER == (int)HVSHIM_ENGINE_USER,
		       "the definition's engines are hvshim's");
	r = vid_open(resources_take(resources, "kvm"), &machine->vid);
	if (r < 0)
		return failure_set(failure, r, "KVM cannot be used: %s.", strerror(-r));
	r = hvshim_choose_engine(machine->vid, wanted, &machine->engine);
	if (r < 0)
		return failure_set(failure, r,
				   "This host's KVM cannot run the %s engine: %s. `vmwp --probe` "
				   "shows what it lacks.",
				   hvshim_engine_name(wanted), strerror(-r));
	machine->cpuid = calloc(1, sizeof(*machine->cpuid));
	if (!machine->cpuid)
		return -ENOMEM;
	r = vid_cpuid_supported(machine->vid, machine->cpuid);
	if (r < 0)
		return failure_set(failure, r, "KVM does not tell its CPUID leaves: %s.",
				   strerror(-r));
	cpu_model_features(machine->cpuid, &machine->host_features);
	return cpu_model_apply(&machine->definition->processors, machine->cpuid, failure);
}

/* Whether this KVM can have so many vps, with the APIC ids that their topology gives them. */
static int machine_check_processors(const struct machine *machine, struct failure *failure)
{
	const struct vid_capabilities *capabilities = vid_capabilities(machine->vid);
	const struct definition_processors *processors = &machine->definition->processors;
	const struct topology topology = { processors->sockets, processors->cores,
					   processors->threads };
	uint32_t largest = topology_apic_id(&topology, processors->count - 1);

	if (processors->count > capabilities->max_vps)
		return failure_set(failure, -ENOTSUP,
				   "The VM has %u virtual processors; this host's KVM can have at "
				   "most %u.",
				   processors->count, capabilities->max_vps);
	if (largest > capabilities->max_apic_id)
		return failure_set(failure, -ENOTSUP,
				   "With %u sockets of %u cores of %u threads the last virtual "
				   "processor has APIC id %u; this host's KVM can have ids up to "
				   "%u. Numbers that are powers of two leave no gaps.",
				   processors->sockets, processors->cores, processors->threads,
				   largest, capabilities->max_apic_id);
	return 0;
}

static int machine_refuse_memory(const struct definition *definition, int error,
				 struct failure *failure)
{
	const char *advice = definition->memory.pages == DEFINITION_PAGES_HUGETLB
				     ? " Reserve huge pages of 2 MiB: sysctl vm.nr_hugepages."
				     : "";

	return failure_set(failure, error,
			   "The host has no %" PRIu64 " MiB of memory for the VM: %s.%s",
			   definition->memory.size >> 20, strerror(-error), advice);
}

static const enum vid_memory_backing backings[] = {
	[DEFINITION_PAGES_TRANSPARENT] = VID_MEMORY_TRANSPARENT_HUGE,
	[DEFINITION_PAGES_HUGETLB] = VID_MEMORY_HUGETLB,
	[DEFINITION_PAGES_SMALL] = VID_MEMORY_SMALL,
};

/* Before anything of it is touched. */
static int machine_place_memory(struct machine *machine, struct failure *failure)
{
	for (size_t i = 0; i < machine->numa.range_count; i++) {
		const struct numa_range *range = &machine->numa.ranges[i];
		uint32_t host_node = machine->definition->numa.nodes[range->node].host_node;
		int r;

		if (host_node == DEFINITION_NUMA_HOST_NODE_ANYWHERE)
			continue;
		r = vid_memory_prefer(machine->memory, range->region, host_node);
		if (r < 0)
			return failure_set(failure, r,
					   "Memory of NUMA node %u cannot be taken from node %u of "
					   "the host: %s.%s",
					   range->node, host_node, strerror(-r),
					   r == -EINVAL ? " `numactl --hardware` lists its nodes."
							: "");
	}
	return 0;
}

/* What another worker has handed over, or new memory. */
static int machine_add_ram(struct machine *machine, struct resources *resources, size_t region)
{
	const struct definition_memory *memory = &machine->definition->memory;
	AUTO_CLOSE int fd = -1;
	char name[RESOURCES_NAME_MAX];
	int r;

	resources_memory_name(region, name);
	fd = resources_take(resources, name);
	if (region > 0 && machine->memory_is_handed_over != (fd >= 0))
		return -EINVAL;
	if (fd < 0)
		return vid_memory_add(machine->memory, machine->layout.ram[region],
				      backings[memory->pages], memory->shared);
	machine->memory_is_handed_over = true;
	r = vid_memory_add_shared(machine->memory, machine->layout.ram[region],
				  backings[memory->pages], fd);
	if (r == 0)
		(void)TAKE_FD(fd);
	return r;
}

static int machine_make_memory(struct machine *machine, struct resources *resources,
			       struct failure *failure)
{
	const struct definition *definition = machine->definition;
	unsigned bits = topology_address_bits(machine->cpuid);
	int r;

	memory_layout_init(&machine->layout, definition->memory.size,
			   definition_memory_most(&definition->memory) - definition->memory.size,
			   bits);
	if (memory_layout_end(&machine->layout) > UINT64_C(1) << bits)
		return failure_set(failure, -ENOTSUP,
				   "The CPUs of this host address %u bits; %" PRIu64
				   " MiB of memory are too many for them.",
				   bits, definition->memory.size >> 20);
	r = vid_memory_new(&machine->memory);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < machine->layout.ram_count; i++) {
		r = machine_add_ram(machine, resources, i);
		if (r < 0)
			return machine_refuse_memory(definition, r, failure);
	}
	numa_init(&machine->numa, definition, &machine->layout);
	return machine_place_memory(machine, failure);
}

/* How many CPUs the worker has, or will have when it is in its control group; 0: nobody knows. */
static unsigned machine_count_cpus(const struct machine *machine)
{
	const struct cpu_list *wanted = &machine->definition->resources.cpus;
	cpu_set_t cpus, allowed;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 0;
	_Static_assert(sizeof(allowed) == sizeof(*wanted), "a bit for each CPU");
	memcpy(&allowed, wanted, sizeof(allowed));
	if (!cpu_list_is_empty(wanted))
		CPU_AND(&cpus, &cpus, &allowed);
	return (unsigned)CPU_COUNT(&cpus);
}

/*
 * Whoever watches for a guest must not be in its way: that takes a CPU for each vp and one more. On
 * a single CPU the loop is always in its way, and comes as seldom as it can.
 */
static void machine_share_cpus(struct machine *machine)
{
	unsigned cpus = machine_count_cpus(machine);

	if (cpus > machine->definition->processors.count)
		vmbus_busy_poll(machine->bus);
	else if (cpus == 1)
		vmbus_moderate(machine->bus);
}

static int machine_make_bus(struct machine *machine)
{
	const struct definition_memory *memory = &machine->definition->memory;
	int r;

	machine->vmbus_host = (struct vmbus_host){ .memory = machine->memory,
						   .backing = backings[memory->pages],
						   .shared = memory->shared };
	machine->vsp_host = (struct vsp_host){ .ops = &vmbus_host_ops,
					       .host = &machine->vmbus_host,
					       .vp_count = machine->definition->processors.count };
	r = vmbus_new(machine->loop, &machine->vsp_host, &machine_vmbus_callbacks, machine,
		      &machine->bus);
	if (r >= 0)
		machine_share_cpus(machine);
	return r;
}

static enum chipset_board machine_board(const struct machine *machine)
{
	if (machine->uefi_fd >= 0)
		return CHIPSET_GENERATION_2;
	return machine->bios_fd >= 0 ? CHIPSET_GENERATION_1 : CHIPSET_SYNTHETIC;
}

static int machine_make_flash(struct machine *machine, struct failure *failure)
{
	int r;

	if (machine->uefi_fd < 0 || machine->template_fd < 0)
		return 0;
	r = variables_new(machine->loop, machine->template_fd, machine->variables_fd,
			  &machine_variables_callbacks, machine, &machine->variables, failure);
	if (r == 0)
		chipset_set_flash(machine->chipset, variables_bytes(machine->variables));
	return r;
}

int machine_new(const struct machine_config *config, struct machine **ret_machine,
		struct failure *failure)
{
	CLEANUP(machine_freep) struct machine *machine = calloc(1, sizeof(*machine));
	int r;

	if (!machine)
		return -ENOMEM;
	machine->definition = config->definition;
	machine->loop = config->loop;
	machine->callbacks = config->callbacks;
	machine->data = config->data;
	machine->incident_task.run = machine_handle_incident;
	machine->alarm_task.run = machine_handle_alarm;
	machine->disk_task.run = machine_handle_disk_request;
	machine->tick.operation.complete = machine_tick_over;
	machine->finish.run = machine_finish;
	machine->grace.operation.complete = machine_grace_over;
	list_init(&machine->finish.link);
	machine->kernel_fd = resources_take(config->resources, "kernel");
	machine->initrd_fd = resources_take(config->resources, "initrd");
	machine->bios_fd = resources_take(config->resources, "bios");
	machine->uefi_fd = resources_take(config->resources, "uefi");
	machine->variables_fd = resources_take(config->resources, "variables");
	machine->template_fd = resources_take(config->resources, "uefi-variables");
	machine->flash_task.run = machine_handle_flash;
	machine->system_task.run = machine_handle_system;
	machine->firmware_task.run = machine_handle_firmware;

	r = machine_open_vid(machine, config->resources, failure);
	if (r < 0)
		return r;
	r = machine_check_processors(machine, failure);
	if (r < 0)
		return r;
	r = machine_make_memory(machine, config->resources, failure);
	if (r < 0)
		return r;
	r = chipset_new(machine_board(machine), &machine_chipset_callbacks, machine,
			&machine->chipset);
	if (r < 0)
		return r;
	r = machine_make_flash(machine, failure);
	if (r < 0)
		return r;
	r = machine_make_bus(machine);
	if (r < 0)
		return r;
	*ret_machine = TAKE_PTR(machine);
	return 0;
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	assert(!machine->power_cycle);
	vmbus_free(machine->bus);
	chipset_free(machine->chipset);
	variables_free(machine->variables);
	vid_memory_free(machine->memory);
	free(machine->cpuid);
	vid_close(machine->vid);
	close_fdp(&machine->kernel_fd);
	close_fdp(&machine->initrd_fd);
	close_fdp(&machine->bios_fd);
	close_fdp(&machine->uefi_fd);
	close_fdp(&machine->variables_fd);
	close_fdp(&machine->template_fd);
	free(machine);
}
