/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Properties of a worker's unit.
 *
 * Delegate= is not among them: with it processes could be added later, but systemd 252 takes no
 * note of it any more when the kernel ends one for want of memory.
 */
#include "vmms/units/unit_properties.h"

#include "vmms/units/slice_name.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_SET     UINT64_MAX /* of systemd: no limit, no weight */
#define QUOTA_SCALE 10000      /* microseconds of a second's, for a percent of one CPU */

static int properties_append_flag(sd_bus_message *message, const char *name, bool value)
{
	int r = sd_bus_message_append(message, "(sv)", name, "b", (int)value);

	return r < 0 ? r : 0;
}

/* ---- The unit ---- */

static int properties_append_processes(sd_bus_message *message, const pid_t *processes,
				       size_t count)
{
	int r;

	_Static_assert(sizeof(pid_t) == sizeof(uint32_t), "as on the bus");
	r = sd_bus_message_open_container(message, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", "PIDs");
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'v', "au");
	if (r >= 0)
		r = sd_bus_message_append_array(message, 'u', processes,
						count * sizeof(*processes));
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	return r < 0 ? r : 0;
}

/* The slice of its CPU group, or of its owner, below that of all. */
static int properties_append_slice(sd_bus_message *message, const struct definition *definition)
{
	char slice[SLICE_NAME_SIZE];

	if (definition->resources.cpu_group[0] != '\0')
		slice_name_of_cpu_group(definition->resources.cpu_group, slice);
	else if (!slice_name_of_owner(definition, slice))
		strcpy(slice, "vmms.slice");
	return sd_bus_message_append(message, "(sv)", "Slice", "s", slice);
}

int unit_properties_append(sd_bus_message *message, const struct definition *definition,
			   const pid_t *processes, size_t count, bool asked)
{
	static const char *const flags[] = { "CPUAccounting", "MemoryAccounting", "IOAccounting",
					     "TasksAccounting" };
	char description[DEFINITION_NAME_MAX + 32];
	int r;

	snprintf(description, sizeof(description), "Virtual Machine %s", definition->name);
	r = sd_bus_message_append(message, "(sv)", "Description", "s", description);
	if (r >= 0)
		r = properties_append_slice(message, definition);
	/*
	 * When the host shuts down, systemd ends what is in the unit only after guests were shut
	 * down, and before the service and the file systems that it needs are gone.
	 */
	if (r >= 0)
		r = sd_bus_message_append(message, "(sv)(sv)", "Before", "as", 1,
					  "vmms-guests.service", "After", "as", 2, "vmms.service",
					  "remote-fs.target");
	/* As in the service's unit, which it leaves: it has its devices open. */
	if (r >= 0)
		r = sd_bus_message_append(message, "(sv)", "DevicePolicy", "s", "closed");
	if (r >= 0 && !asked)
		r = sd_bus_message_append(message, "(sv)", "CollectMode", "s",
					  "inactive-or-failed");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(flags); i++)
		r = properties_append_flag(message, flags[i], true);
	return r < 0 ? r : properties_append_processes(message, processes, count);
}

/* ---- Numbers ---- */

static const struct number {
	const char *property;
	size_t offset;  /* in struct definition_resources */
	uint64_t scale; /* of the property, in units of the definition */
	bool beyond;    /* beyond the guest's memory */
} numbers[] = {
#define MEMBER(properties_member) offsetof(struct definition_resources, properties_member)
	{ "CPUWeight", MEMBER(cpu_weight), 1, false },
	{ "CPUQuotaPerSecUSec", MEMBER(cpu_quota), QUOTA_SCALE, false },
	{ "MemoryHigh", MEMBER(memory_high), 1, true },
	{ "MemoryMax", MEMBER(memory_max), 1, true },
	{ "IOWeight", MEMBER(io_weight), 1, false },
	{ "TasksMax", MEMBER(tasks_max), 1, false },
};

static uint64_t properties_member(const struct definition *definition, size_t offset)
{
	return *(const uint64_t *)((const char *)&definition->resources + offset);
}

static int properties_append_number(sd_bus_message *message, const struct definition *definition,
				    const struct number *number)
{
	uint64_t value = properties_member(definition, number->offset);

	if (value == 0)
		value = NOT_SET;
	else
		value = value * number->scale +
			(number->beyond ? definition_memory_most(&definition->memory) : 0);
	return sd_bus_message_append(message, "(sv)", number->property, "t", value);
}

/* ---- CPUs ---- */

/* A bit for each, the lowest of the first byte for CPU 0; no byte: all of them. */
static int properties_append_cpus(sd_bus_message *message, const char *property,
				  const struct cpu_list *cpus)
{
	const uint8_t *bytes = (const uint8_t *)cpus->bits;
	size_t size = sizeof(cpus->bits);
	int r;

	while (size > 0 && bytes[size - 1] == 0)
		size--;
	r = sd_bus_message_open_container(message, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", property);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'v', "ay");
	if (r >= 0)
		r = sd_bus_message_append_array(message, 'y', bytes, size);
	for (int i = 0; r >= 0 && i < 2; i++)
		r = sd_bus_message_close_container(message);
	return r;
}

int unit_properties_append_shares(sd_bus_message *message, uint64_t cpu_weight, uint64_t cpu_quota,
				  const struct cpu_list *cpus)
{
	uint64_t weight = cpu_weight > 0 ? cpu_weight : NOT_SET;
	uint64_t quota = cpu_quota > 0 ? cpu_quota * QUOTA_SCALE : NOT_SET;
	int r;

	r = sd_bus_message_append(message, "(sv)(sv)", "CPUWeight", "t", weight,
				  "CPUQuotaPerSecUSec", "t", quota);
	if (r >= 0)
		r = properties_append_cpus(message, "AllowedCPUs", cpus);
	return r < 0 ? r : 0;
}

/* ---- Limits of devices ---- */

static const struct device_limit {
	const char *property;
	size_t offset;
} device_limits[] = {
	{ "IOReadBandwidthMax", MEMBER(io_read_bandwidth) },
	{ "IOWriteBandwidthMax", MEMBER(io_write_bandwidth) },
	{ "IOReadIOPSMax", MEMBER(io_read_operations) },
	{ "IOWriteIOPSMax", MEMBER(io_write_operations) },
};

/* systemd finds the device that a file is on by itself, but wants a path without detours. */
static int properties_append_disk(sd_bus_message *message, const char *path, uint64_t value)
{
	AUTO_FREE char *resolved = realpath(path, NULL);

	return resolved ? sd_bus_message_append(message, "(st)", resolved, value) : 0;
}

static int properties_append_disks(sd_bus_message *message, const struct definition *definition,
				   uint64_t value)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < definition->disk_count; i++) {
		if (definition->disks[i].path)
			r = properties_append_disk(message, definition->disks[i].path, value);
	}
	return r;
}

/* disks: false: none, which takes away those that there were. */
static int properties_append_device_limit(sd_bus_message *message,
					  const struct definition *definition,
					  const struct device_limit *limit, bool disks)
{
	int r;

	r = sd_bus_message_open_container(message, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", limit->property);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'v', "a(st)");
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "(st)");
	if (r >= 0 && disks)
		r = properties_append_disks(message, definition,
					    properties_member(definition, limit->offset));
	for (int i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(message);
	return r;
}

int unit_properties_append_limits(sd_bus_message *message, const struct definition *definition)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(numbers); i++)
		r = properties_append_number(message, definition, &numbers[i]);
	if (r >= 0)
		r = properties_append_cpus(message, "AllowedCPUs", &definition->resources.cpus);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(device_limits); i++) {
		r = properties_append_device_limit(message, definition, &device_limits[i], false);
		if (r >= 0 && properties_member(definition, device_limits[i].offset) > 0)
			r = properties_append_device_limit(message, definition, &device_limits[i],
							   true);
	}
	return r < 0 ? r : 0;
}
