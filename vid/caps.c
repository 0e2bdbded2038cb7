/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hypervisor device, and what it can do.
 *
 * Capabilities are one table: where each is reported, what KVM calls it, and whether a partition
 * can do without. Opening succeeds on a host that lacks some, so that the lack can be told.
 */
#include "vid/internal.h"

#include "common/base/error.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VID_XAPIC_IDS 255u /* 255 is the broadcast */

struct capability {
	unsigned extension;
	size_t offset; /* of a bool in struct vid_capabilities */
	bool required;
	const char *name;
};

#define CAPABILITY(cap, member, need)                                                            \
	{                                                                                        \
		.extension = KVM_CAP_##cap, .offset = offsetof(struct vid_capabilities, member), \
		.required = (need), .name = "KVM_CAP_" #cap                                      \
	}

static const struct capability capability_table[] = {
	CAPABILITY(USER_MEMORY, user_memory, true),
	CAPABILITY(IRQCHIP, irqchip, true),
	CAPABILITY(IRQFD, irqfd, true),
	CAPABILITY(IRQFD_RESAMPLE, irqfd_resample, false),
	CAPABILITY(IOEVENTFD, ioeventfd, true),
	CAPABILITY(IMMEDIATE_EXIT, immediate_exit, true),
	CAPABILITY(X86_USER_SPACE_MSR, user_space_msr, false),
	CAPABILITY(X86_MSR_FILTER, msr_filter, false),
	CAPABILITY(HYPERV_CPUID, hyperv_cpuid, false),
	CAPABILITY(HYPERV_SYNIC2, hyperv_synic2, false),
	CAPABILITY(HYPERV_EVENTFD, hyperv_eventfd, false),
	CAPABILITY(HYPERV_VAPIC, hyperv_vapic, false),
	CAPABILITY(TSC_DEADLINE_TIMER, tsc_deadline, false),
	CAPABILITY(GET_TSC_KHZ, tsc_khz, true),
	CAPABILITY(X2APIC_API, x2apic_api, false),
	CAPABILITY(READONLY_MEM, read_only_memory, false),
	CAPABILITY(PIT2, pit2, false),
	CAPABILITY(PIT_STATE2, pit_state2, false),
};

static unsigned vid_extension(const struct vid *vid, unsigned extension)
{
	int r = ioctl(vid->fd, KVM_CHECK_EXTENSION, extension);

	return r > 0 ? (unsigned)r : 0;
}

/*
 * KVM tells how many ids there are; where it does not, as many as vps. Beyond 254 a message can
 * name an APIC by 32-bit ids alone.
 */
static unsigned vid_max_apic_id(const struct vid *vid)
{
	unsigned ids = vid_extension(vid, KVM_CAP_MAX_VCPU_ID);

	if (ids == 0)
		ids = vid_extension(vid, KVM_CAP_MAX_VCPUS);
	if (!vid->capabilities.x2apic_api)
		ids = MIN(ids, VID_XAPIC_IDS);
	return ids > 0 ? ids - 1 : 0;
}

static bool capability_present(const struct vid *vid, const struct capability *capability)
{
	return *((const bool *)((const char *)&vid->capabilities + capability->offset));
}

const char *vid_missing(const struct vid *vid, size_t i)
{
	for (size_t c = 0; c < ARRAY_SIZE(capability_table); c++) {
		const struct capability *capability = &capability_table[c];

		if (capability->required && !capability_present(vid, capability) && i-- == 0)
			return capability->name;
	}
	return NULL;
}

/* The first character of a module parameter, or 0: 'Y' or '1' means on. */
static char vid_module_parameter(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = 0;

	if (fd < 0 || read(fd, &value, 1) != 1)
		return 0;
	return value;
}

/*
 * KVM does not say through its device which module drives the CPU, nor whether the CPU virtualises
 * APICs; sysfs does. Where that is hidden both stay unknown, which costs some speed at most.
 */
static struct host {
	bool known;
	bool apic_virtualization;
	const char *implementation;
} host = { .implementation = "unknown" };

void vid_look_at_host(void)
{
	static const struct {
		const char *name, *module, *parameter;
	} table[] = {
		{ "kvm_intel", "/sys/module/kvm_intel",
		  "/sys/module/kvm_intel/parameters/enable_apicv" },
		{ "kvm_amd", "/sys/module/kvm_amd", "/sys/module/kvm_amd/parameters/avic" },
		{ "kvm_pvm", "/sys/module/kvm_pvm", NULL },
	};

	host.known = true;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct stat st;
		char value;

		if (stat(table[i].module, &st) < 0)
			continue;
		host.implementation = table[i].name;
		value = table[i].parameter ? vid_module_parameter(table[i].parameter) : 0;
		host.apic_virtualization = value == 'Y' || value == '1';
	}
}

static void vid_find_capabilities(struct vid *vid)
{
	struct vid_capabilities *capabilities = &vid->capabilities;

	for (size_t i = 0; i < ARRAY_SIZE(capability_table); i++) {
		bool *present = (bool *)((char *)capabilities + capability_table[i].offset);

		*present = vid_extension(vid, capability_table[i].extension) != 0;
	}
	capabilities->max_vps = vid_extension(vid, KVM_CAP_MAX_VCPUS);
	capabilities->max_apic_id = vid_max_apic_id(vid);
	capabilities->max_interrupt_routes = vid_extension(vid, KVM_CAP_IRQ_ROUTING);
	if (!host.known)
		vid_look_at_host();
	capabilities->apic_virtualization = host.apic_virtualization;
	snprintf(capabilities->implementation, sizeof(capabilities->implementation), "%s",
		 host.implementation);
}

static void vid_signal_handler(int number)
{
}

static int vid_install_handler(void)
{
	struct sigaction action = { .sa_handler = vid_signal_handler, .sa_flags = SA_RESTART };

	return sigaction(VID_SIGNAL, &action, NULL) < 0 ? -errno : 0;
}

int vid_open(int fd, struct vid **ret_vid)
{
	CLEANUP(vid_closep) struct vid *vid = calloc(1, sizeof(*vid));
	int r;

	if (!vid) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	vid->fd = fd >= 0 ? fd : open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vid->fd < 0)
		return error_origin(-errno);
	r = ioctl(vid->fd, KVM_GET_API_VERSION, 0);
	if (r < 0)
		return error_origin(-errno);
	if (r != KVM_API_VERSION)
		return -ENOTSUP;
	vid->capabilities.api_version = (unsigned)r;
	r = ioctl(vid->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < 0)
		return error_origin(-errno);
	vid->run_size = (size_t)r;
	vid_find_capabilities(vid);
	r = vid_install_handler();
	if (r < 0)
		return r;
	*ret_vid = TAKE_PTR(vid);
	return 0;
}

void vid_close(struct vid *vid)
{
	if (!vid)
		return;
	if (vid->fd >= 0)
		close(vid->fd);
	free(vid);
}

const struct vid_capabilities *vid_capabilities(const struct vid *vid)
{
	return &vid->capabilities;
}
