/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said of a host, by files of a made-up one. */
#include "common/base/cc.h"
#include "common/base/text.h"
#include "tests/unit/unit.h"
#include "vmms/host/host_check_service.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static char root[] = "/tmp/vmms-host-check-XXXXXX";
static struct host_kernel kernel;
static struct json_object *array;

static int make_root(void **state)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	kernel = (struct host_kernel){ .root = mkdtemp(root),
				       .hypervisor = "/dev/kvm",
				       .is_service = true };
	return kernel.root ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[64];

	json_object_put(array);
	array = NULL;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

/* A file of the made-up host, with the folders that it takes. */
static void put(const char *path, const char *text)
{
	char whole[256];
	int fd;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(whole, 0755);
		*slash = '/';
	}
	fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* The finding of a check of that table; NULL: it does not apply. */
static struct json_object *look(const struct host_check *checks, const void *view, const char *name)
{
	json_object_put(array);
	array = json_object_new_array();
	host_checks_run(checks, view, &array);
	assert_non_null(array);
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *check = json_object_array_get_idx(array, i), *value;

		assert_true(json_object_object_get_ex(check, "name", &value));
		if (strcmp(json_object_get_string(value), name) == 0)
			return check;
	}
	return NULL;
}

static void assert_finding(struct json_object *check, const char *verdict, const char *mend)
{
	struct json_object *value;

	assert_non_null(check);
	assert_true(json_object_object_get_ex(check, "verdict", &value));
	assert_string_equal(json_object_get_string(value), verdict);
	assert_true(json_object_object_get_ex(check, "mend", &value));
	if (mend[0] == '\0')
		assert_string_equal(json_object_get_string(value), "");
	assert_non_null(strstr(json_object_get_string(value), mend));
}

#define ASSERT_KERNEL(name, verdict, mend) \
	assert_finding(look(host_kernel_checks, &kernel, name), verdict, mend)

static void test_kvm(void **state)
{
	ASSERT_KERNEL("kvm", "fault", "nested virtualisation");
	put("/proc/cpuinfo", "processor : 0\nflags : fpu svm lm\n");
	ASSERT_KERNEL("kvm", "fault", "modprobe kvm_amd");
	put("/proc/cpuinfo", "processor : 0\nflags : fpu vmx lm\n");
	ASSERT_KERNEL("kvm", "fault", "modprobe kvm_intel");
	put("/dev/kvm", "");
	ASSERT_KERNEL("kvm", "ok", "");
}

static void test_kvm_that_is_not_for_us(void **state)
{
	char path[64];

	if (geteuid() == 0)
		skip();
	put("/dev/kvm", "");
	snprintf(path, sizeof(path), "%s/dev/kvm", root);
	assert_int_equal(chmod(path, 0), 0);
	ASSERT_KERNEL("kvm", "fault", "adduser");
	kernel.is_service = false;
	ASSERT_KERNEL("kvm", "ok", "");
}

static void test_io_uring(void **state)
{
	ASSERT_KERNEL("io-uring", "ok", "");
	put("/proc/sys/kernel/io_uring_disabled", "0\n");
	ASSERT_KERNEL("io-uring", "ok", "");
	put("/proc/sys/kernel/io_uring_disabled", "1\n");
	ASSERT_KERNEL("io-uring", "fault", "kernel.io_uring_disabled=0");
	put("/proc/sys/kernel/io_uring_disabled", "2\n");
	ASSERT_KERNEL("io-uring", "fault", "kernel.io_uring_disabled=0");
}

static void test_transparent_huge_pages(void **state)
{
	ASSERT_KERNEL("huge-pages", "warning", "CONFIG_TRANSPARENT_HUGEPAGE");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	ASSERT_KERNEL("huge-pages", "warning", "echo madvise");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	ASSERT_KERNEL("huge-pages", "ok", "");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
	ASSERT_KERNEL("huge-pages", "ok", "");
}

static void test_huge_pages_set_aside(void **state)
{
	static const char meminfo[] = "MemTotal:       16 kB\nHugePages_Total:      12\n"
				      "HugePages_Free:       10\nHugePages_Rsvd:        4\n"
				      "Hugepagesize:       2048 kB\n";

	ASSERT_KERNEL("hugetlb", "ok", "");
	kernel.hugetlb_bytes = 12 << 20;
	ASSERT_KERNEL("hugetlb", "unknown", "");
	put("/proc/meminfo", "MemTotal:       16 kB\n");
	ASSERT_KERNEL("hugetlb", "fault", "CONFIG_HUGETLBFS");
	put("/proc/meminfo", meminfo);
	ASSERT_KERNEL("hugetlb", "ok", "");
	kernel.hugetlb_bytes += 1;
	ASSERT_KERNEL("hugetlb", "warning", "vm.nr_hugepages=13;");
	kernel.is_service = false;
	assert_null(look(host_kernel_checks, &kernel, "hugetlb"));
}

static void test_clocksource(void **state)
{
	static const char path[] =
		"/sys/devices/system/clocksource/clocksource0/current_clocksource";

	ASSERT_KERNEL("clocksource", "unknown", "");
	put(path, "tsc\n");
	ASSERT_KERNEL("clocksource", "ok", "");
	put(path, "hpet\n");
	ASSERT_KERNEL("clocksource", "warning", "journalctl");
}

static void test_control_groups(void **state)
{
	ASSERT_KERNEL("cgroup", "warning", "boot the host with systemd");
	put("/run/systemd/system/x", "");
	ASSERT_KERNEL("cgroup", "warning", "unified_cgroup_hierarchy=1");
	put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io hugetlb pids\n");
	ASSERT_KERNEL("cgroup", "warning", "cgroup_disable=");
	put("/sys/fs/cgroup/cgroup.controllers", "cpu io memory hugetlb pids\n");
	ASSERT_KERNEL("cgroup", "warning", "cgroup_disable=");
	put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
	ASSERT_KERNEL("cgroup", "ok", "");
}

static void look_at_modules(struct host_finding *finding)
{
	*finding = (struct host_finding){ 0 };
	host_look_at_modules(&kernel, finding);
}

static void test_modules(void **state)
{
	struct host_finding finding;
	char path[256];
	struct utsname names;

	assert_int_equal(uname(&names), 0);
	look_at_modules(&finding);
	assert_int_equal(finding.verdict, HOST_UNKNOWN);
	assert_non_null(strstr(finding.found, "tun"));
	put("/dev/net/tun", "");
	put("/sys/module/bridge/x", "");
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", names.release);
	put(path, "kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko\n");
	look_at_modules(&finding);
	assert_int_equal(finding.verdict, HOST_WARNING);
	assert_non_null(strstr(finding.found, "modules: nf_tables, for"));
	put(path, "kernel/x.ko:\nkernel/net/netfilter/nf_tables.ko.xz: kernel/lib/libcrc32c.ko\n");
	look_at_modules(&finding);
	assert_int_equal(finding.verdict, HOST_OK);
}

/* ---- The service ---- */

static struct host_service service(void)
{
	return (struct host_service){ .root = root,
				      .passt = root,
				      .image_server = root,
				      .state_directory = root,
				      .runtime_directory = root,
				      .report_problem = "no report" };
}

#define ASSERT_SERVICE(view, name, verdict, mend) \
	assert_finding(look(host_service_checks, view, name), verdict, mend)

static void test_report_of_the_worker(void **state)
{
	static const char bad[] = "{\"findings\": [{\"severity\": \"error\", \"text\": \"bad\", "
				  "\"advice\": \"Do better.\"}]}";
	static const char *const reports[] = {
		"{\"engine\": \"in-kernel\", \"findings\": [{\"severity\": \"info\"}]}",
		bad,
		"{\"findings\": [7]}",
	};
	struct host_service view = service();

	ASSERT_SERVICE(&view, "guests", "fault", "apt install");
	for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
		view.report = json_tokener_parse(reports[i]);
		ASSERT_SERVICE(&view, "guests", i == 1 ? "fault" : "ok",
			       i == 1 ? "Do better. 'vmctl host'" : "");
		json_object_put(view.report);
	}
}

static void test_rights(void **state)
{
	struct host_service view = service();

	ASSERT_SERVICE(&view, "rights", "ok", "");
	view.is_root = true;
	ASSERT_SERVICE(&view, "rights", "unknown", "");
	put("/proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n");
	ASSERT_SERVICE(&view, "rights", "ok", "");
	/* Without CAP_NET_ADMIN, 12. */
	put("/proc/self/status", "Name:\tx\nCapEff:\t000001ffffffefff\nCapBnd:\t0\n");
	ASSERT_SERVICE(&view, "rights", "fault", "CapabilityBoundingSet");
	assert_non_null(strstr(json_object_to_json_string(array), "without CAP_NET_ADMIN\""));
}

static void test_passt(void **state)
{
	struct host_service view = service();

	ASSERT_SERVICE(&view, "passt", "ok", "");
	view.passt = "/not/there";
	ASSERT_SERVICE(&view, "passt", "warning", "apt install passt");
	ASSERT_SERVICE(&view, "image-server", "ok", "");
	view.image_server = "/not/there";
	ASSERT_SERVICE(&view, "image-server", "warning", "apt install qemu-system-common");
}

static void test_space(void **state)
{
	struct host_service view = service();
	struct host_finding finding = { 0 };

	host_judge_space(UINT64_C(256) << 20, "/x", &finding);
	assert_int_equal(finding.verdict, HOST_OK);
	assert_string_equal(finding.mend, "");
	host_judge_space(UINT64_C(200) << 20, "/x", &finding);
	assert_int_equal(finding.verdict, HOST_WARNING);
	host_judge_space(4096, "/x", &finding);
	assert_int_equal(finding.verdict, HOST_FAULT);
	assert_non_null(strstr(finding.mend, "df -h /x"));
	view.state_directory = "/not/there";
	ASSERT_SERVICE(&view, "state-space", "unknown", "");
}

static void test_images(void **state)
{
	struct host_service view = service();
	char path[64];

	ASSERT_SERVICE(&view, "image-space", "ok", "");
	host_images_add(&view.images, "/not/there");
	ASSERT_SERVICE(&view, "image-space", "unknown", "owners of their VMs");
	put("/image", "data");
	snprintf(path, sizeof(path), "%s/image", root);
	host_images_add(&view.images, path);
	assert_int_equal(view.images.count, 1);
	assert_int_equal(view.images.file_systems[0].growth, 0);
	ASSERT_SERVICE(&view, "image-space", "ok", "");
	assert_int_equal(truncate(path, INT64_C(1) << 43), 0);
	host_images_add(&view.images, path);
	assert_int_equal(view.images.count, 1);
	assert_int_equal(view.images.file_systems[0].images, 2);
	ASSERT_SERVICE(&view, "image-space", "warning", root);
}

static void test_devices_do_not_grow(void **state)
{
	struct host_images images = { 0 };

	host_images_add(&images, "/dev/zero");
	assert_int_equal(images.count, 0);
	assert_int_equal(images.unseen, 0);
}

static void test_the_fullest_counts(void **state)
{
	struct host_service view = service();

	view.images.count = 3;
	for (size_t i = 0; i < 3; i++) {
		snprintf(view.images.file_systems[i].place,
			 sizeof(view.images.file_systems[i].place), "/fs%zu", i);
		view.images.file_systems[i].growth = 100;
		view.images.file_systems[i].available = i == 1 ? 50 : 1000;
	}
	ASSERT_SERVICE(&view, "image-space", "warning", "/fs1");
}

static void test_names_that_are_cut_off(void **state)
{
	struct host_service view = service();
	char *place = view.images.file_systems[0].place;
	const char *text;

	view.images.count = 1;
	view.images.file_systems[0].growth = 1;
	for (size_t i = 0; i < sizeof(view.images.file_systems[0].place) - 2; i += 2)
		memcpy(place + i, "\xc3\xbc", 2);
	strcat(place, "\xc3");
	ASSERT_SERVICE(&view, "image-space", "warning", "df -h");
	text = json_object_to_json_string(array);
	assert_true(text_is_utf8(text, strlen(text)));
}

static void test_sizes(void **state)
{
	char text[HOST_SIZE_TEXT];

	host_format_size(0, text);
	assert_string_equal(text, "0 bytes");
	host_format_size(1536, text);
	assert_string_equal(text, "1.5 KiB");
	host_format_size(UINT64_C(512) << 20, text);
	assert_string_equal(text, "512 MiB");
	host_format_size(UINT64_MAX, text);
	assert_string_equal(text, "16 EiB");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kvm),
		TEST(test_kvm_that_is_not_for_us),
		TEST(test_io_uring),
		TEST(test_transparent_huge_pages),
		TEST(test_huge_pages_set_aside),
		TEST(test_clocksource),
		TEST(test_control_groups),
		TEST(test_modules),
		TEST(test_report_of_the_worker),
		TEST(test_rights),
		TEST(test_passt),
		TEST(test_space),
		TEST(test_images),
		TEST(test_devices_do_not_grow),
		TEST(test_the_fullest_counts),
		TEST(test_names_that_are_cut_off),
		TEST(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
