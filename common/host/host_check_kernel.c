/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks of the kernel, by what it shows in files.
 *
 * Sources: Linux Documentation/admin-guide/sysctl/kernel.rst (io_uring_disabled),
 * Documentation/admin-guide/mm/transhuge.rst and hugetlbpage.rst,
 * Documentation/admin-guide/cgroup-v2.rst, proc(5).
 */
#include "common/host/host_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

static bool is_there(const struct host_kernel *kernel, const char *path)
{
	char whole[PATH_MAX];

	snprintf(whole, sizeof(whole), "%s%s", kernel->root, path);
	return access(whole, F_OK) == 0;
}

/* ---- KVM ---- */

/* Reads line by line until one has that word: proc and modules.dep have more than fits. */
static bool file_has(const char *root, const char *path, const char *word)
{
	char whole[PATH_MAX];
	char *line = NULL;
	size_t size = 0;
	bool found = false;
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	file = fopen(whole, "re");
	while (file && !found && getline(&line, &size, file) > 0)
		found = strstr(line, word) != NULL;
	free(line);
	if (file)
		fclose(file);
	return found;
}

static void mend_absent_kvm(const struct host_kernel *kernel, struct host_finding *finding)
{
	if (file_has(kernel->root, "/proc/cpuinfo", " vmx"))
		host_mend(finding, "modprobe kvm_intel; if it refuses, enable VT-x in the "
				   "firmware's set-up");
	else if (file_has(kernel->root, "/proc/cpuinfo", " svm"))
		host_mend(finding, "modprobe kvm_amd; if it refuses, enable AMD-V (SVM) in the "
				   "firmware's set-up");
	else
		host_mend(finding, "Enable virtualisation (VT-x, AMD-V) in the firmware's set-up; "
				   "where this host is a VM itself, nested virtualisation in its "
				   "settings");
}

static void look_at_kvm(const void *view, struct host_finding *finding)
{
	const struct host_kernel *kernel = view;
	const char *path = kernel->hypervisor;
	char whole[PATH_MAX];

	snprintf(whole, sizeof(whole), "%s%s", kernel->root, path);
	AUTO_CLOSE int fd = open(whole, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		host_found(finding, HOST_OK, "%s can be opened", path);
	} else if (errno != EACCES && errno != EPERM) {
		host_found(finding, HOST_FAULT, "there is no KVM: %s: %s", path, strerror(errno));
		mend_absent_kvm(kernel, finding);
	} else if (!kernel->is_service) {
		host_found(finding, HOST_OK, "there is %s, which is for vmms alone", path);
	} else {
		host_found(finding, HOST_FAULT, "vmms may not open %s: %s", path, strerror(errno));
		host_mend(finding, "Let the service run as root, by the unit of the package; the "
				   "service of a user takes 'adduser USER kvm', and a new login");
	}
}

/* ---- io_uring ---- */

static void look_at_io_uring(const void *view, struct host_finding *finding)
{
	const struct host_kernel *kernel = view;
	char text[16];
	int r = host_read(kernel->root, "/proc/sys/kernel/io_uring_disabled", text, sizeof(text));

	if (r == -ENOENT || (r == 0 && strcmp(text, "0") == 0)) {
		host_found(finding, HOST_OK, "io_uring is not disabled");
	} else if (r < 0) {
		host_found(finding, HOST_UNKNOWN, "kernel.io_uring_disabled cannot be read: %s",
			   strerror(-r));
	} else {
		host_found(finding, HOST_FAULT,
			   "the kernel denies io_uring to workers, which do all their I/O by it "
			   "(kernel.io_uring_disabled = %s)",
			   text);
		host_mend(finding, "sysctl -w kernel.io_uring_disabled=0; for good, in "
				   "/etc/sysctl.d/vmms.conf");
	}
}

/* ---- Huge pages ---- */

#define THP "/sys/kernel/mm/transparent_hugepage/enabled"

static void look_at_transparent(const void *view, struct host_finding *finding)
{
	const struct host_kernel *kernel = view;
	char text[64];
	int r = host_read(kernel->root, THP, text, sizeof(text));

	if (r < 0 && r != -ENOENT) {
		host_found(finding, HOST_UNKNOWN, "%s cannot be read: %s", THP, strerror(-r));
	} else if (r == -ENOENT) {
		host_found(finding, HOST_WARNING,
			   "this kernel has no transparent huge pages: guests are slower");
		host_mend(finding, "Use a kernel with CONFIG_TRANSPARENT_HUGEPAGE; or set pages "
				   "aside (vm.nr_hugepages), and memory.pages=hugetlb for the VMs");
	} else if (strstr(text, "[never]")) {
		host_found(finding, HOST_WARNING,
			   "transparent huge pages are switched off: guests are slower");
		host_mend(finding,
			  "echo madvise > " THP
			  "; for good, transparent_hugepage=madvise on the kernel's command line");
	} else {
		host_found(finding, HOST_OK, "transparent huge pages: %s", text);
	}
}

struct hugetlb {
	uint64_t total, free, reserved, page; /* pages; page: bytes of one */
};

static int read_hugetlb(const struct host_kernel *kernel, struct hugetlb *ret_hugetlb)
{
	struct hugetlb hugetlb = { 0 };
	const struct {
		const char *key;
		uint64_t *value;
	} keys[] = { { "HugePages_Total:", &hugetlb.total },
		     { "HugePages_Free:", &hugetlb.free },
		     { "HugePages_Rsvd:", &hugetlb.reserved },
		     { "Hugepagesize:", &hugetlb.page } };
	char text[8192];
	int r = host_read(kernel->root, "/proc/meminfo", text, sizeof(text));

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *at = strstr(text, keys[i].key);

		if (at)
			*keys[i].value = strtoull(at + strlen(keys[i].key), NULL, 10);
	}
	hugetlb.page *= 1024;
	*ret_hugetlb = hugetlb;
	return 0;
}

static void judge_hugetlb(uint64_t wanted, const struct hugetlb *hugetlb,
			  struct host_finding *finding)
{
	uint64_t idle = hugetlb->free - MIN(hugetlb->free, hugetlb->reserved), pages;
	char wanted_text[HOST_SIZE_TEXT], idle_text[HOST_SIZE_TEXT];

	if (hugetlb->page == 0) {
		host_found(finding, HOST_FAULT,
			   "VMs ask for huge pages that are set aside, which this kernel has not");
		host_mend(finding, "vmctl set VM memory.pages=transparent, or a kernel with "
				   "CONFIG_HUGETLBFS");
		return;
	}
	pages = (wanted + hugetlb->page - 1) / hugetlb->page;
	host_format_size(wanted, wanted_text);
	host_format_size(idle * hugetlb->page, idle_text);
	host_found(finding, pages > idle ? HOST_WARNING : HOST_OK,
		   "VMs that are off ask for %s of huge pages; %s are set aside and free",
		   wanted_text, idle_text);
	if (pages > idle)
		host_mend(finding,
			  "sysctl -w vm.nr_hugepages=%" PRIu64 "; for good, in "
			  "/etc/sysctl.d/vmms.conf. Or vmctl set VM memory.pages=transparent",
			  hugetlb->total + pages - idle);
}

static void look_at_hugetlb(const void *view, struct host_finding *finding)
{
	const struct host_kernel *kernel = view;
	struct hugetlb hugetlb;
	int r;

	if (!kernel->is_service)
		return;
	if (kernel->hugetlb_bytes == 0) {
		host_found(finding, HOST_OK, "no VM that is off asks for pages set aside");
		return;
	}
	r = read_hugetlb(kernel, &hugetlb);
	if (r < 0)
		host_found(finding, HOST_UNKNOWN, "/proc/meminfo cannot be read: %s", strerror(-r));
	else
		judge_hugetlb(kernel->hugetlb_bytes, &hugetlb, finding);
}

/* ---- The rest ---- */

/* A guest's reference time is that of the TSC; without it every reading leaves the guest. */
static void look_at_clocksource(const void *view, struct host_finding *finding)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";
	static const char *const good[] = { "tsc", "kvm-clock", "hyperv_clocksource_tsc_page" };
	const struct host_kernel *kernel = view;
	char text[64];
	int r = host_read(kernel->root, path, text, sizeof(text));

	if (r < 0) {
		host_found(finding, HOST_UNKNOWN, "%s: %s", path, strerror(-r));
		return;
	}
	host_found(finding, HOST_WARNING, "the kernel does not trust the CPU's clock, and uses %s",
		   text);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (strcmp(text, good[i]) == 0)
			host_found(finding, HOST_OK, "clock source %s", text);
	}
	if (finding->verdict != HOST_OK)
		host_mend(finding, "See why: journalctl -k --grep 'tsc|clocksource'. Often the "
				   "firmware is to be updated");
}

#define CONTROLLERS "/sys/fs/cgroup/cgroup.controllers"

static void look_at_controllers(const struct host_kernel *kernel, struct host_finding *finding)
{
	static const char *const wanted[] = { "cpu", "cpuset", "io", "memory", "pids" };
	char text[258], missing[32] = "";

	/* Blanks around every word. */
	text[0] = ' ';
	if (host_read(kernel->root, CONTROLLERS, text + 1, sizeof(text) - 2) < 0) {
		host_found(finding, HOST_WARNING,
			   "control groups are of version 1: 'resources' of VMs are not in force");
		host_mend(finding, "Boot the host with systemd.unified_cgroup_hierarchy=1 on the "
				   "kernel's command line");
		return;
	}
	strcat(text, " ");
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		char word[16];

		snprintf(word, sizeof(word), " %s ", wanted[i]);
		if (!strstr(text, word))
			strcat(strcat(missing, " "), wanted[i]);
	}
	if (missing[0] == '\0') {
		host_found(finding, HOST_OK, "control groups of version 2, with systemd");
		return;
	}
	host_found(finding, HOST_WARNING,
		   "control groups lack%s: those 'resources' of VMs are not in force", missing);
	host_mend(finding, "Look for cgroup_disable= on the kernel's command line, "
			   "/proc/cmdline; remove it, and boot the host");
}

static void look_at_cgroup(const void *view, struct host_finding *finding)
{
	const struct host_kernel *kernel = view;

	if (is_there(kernel, "/run/systemd/system")) {
		look_at_controllers(kernel, finding);
		return;
	}
	host_found(finding, HOST_WARNING,
		   "systemd does not run here: 'resources' of VMs are not in force, and "
		   "machinectl does not show them");
	host_mend(finding, "Where that matters, boot the host with systemd; all else works");
}

const struct host_check host_kernel_checks[] = {
	{ "kvm", look_at_kvm },
	{ "io-uring", look_at_io_uring },
	{ "huge-pages", look_at_transparent },
	{ "hugetlb", look_at_hugetlb },
	{ "clocksource", look_at_clocksource },
	{ "cgroup", look_at_cgroup },
	{ 0 },
};

/* ---- Modules ---- */

/*
 * In use, in the kernel itself, or to be loaded when it is needed. What is in the kernel itself
 * need not show in /sys/module, only in the list.
 */
static bool module_is_there(const struct host_kernel *kernel, const char *release, const char *name)
{
	static const char *const lists[] = { "modules.builtin", "modules.dep" };
	char path[256], file[64];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	if (is_there(kernel, path))
		return true;
	snprintf(file, sizeof(file), "/%s.ko", name);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		snprintf(path, sizeof(path), "/lib/modules/%s/%s", release, lists[i]);
		if (file_has(kernel->root, path, file))
			return true;
	}
	return false;
}

static bool has_modules(const struct host_kernel *kernel, const char *release)
{
	char path[256];

	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", release);
	return is_there(kernel, path);
}

void host_look_at_modules(const void *view, struct host_finding *finding)
{
	static const struct {
		const char *name, *device, *purpose;
	} modules[] = {
		{ "tun", "/dev/net/tun", "adapters at virtual switches" },
		{ "bridge", NULL, "virtual switches" },
		{ "nf_tables", NULL, "guards of adapters (MAC addresses, DHCP, routers)" },
	};
	const struct host_kernel *kernel = view;
	char missing[256] = "";
	struct utsname names;

	(void)uname(&names);
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		size_t length = strlen(missing);

		if ((modules[i].device && is_there(kernel, modules[i].device)) ||
		    module_is_there(kernel, names.release, modules[i].name))
			continue;
		snprintf(missing + length, sizeof(missing) - length, "%s%s, for %s",
			 length > 0 ? "; " : "", modules[i].name, modules[i].purpose);
	}
	if (missing[0] == '\0') {
		host_found(finding, HOST_OK, "tun, bridge and nf_tables are there");
		return;
	}
	if (!has_modules(kernel, names.release)) {
		host_found(finding, HOST_UNKNOWN,
			   "there is no list of this kernel's modules, /lib/modules/%s, in which "
			   "might be: %s",
			   names.release, missing);
		return;
	}
	host_found(finding, HOST_WARNING, "the kernel lacks modules: %s", missing);
	host_mend(
		finding,
		"Install all modules of this kernel, linux-image-%s, and boot the host if a newer "
		"kernel has replaced them",
		names.release);
}
