/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks that take the service's rights, or what it knows. */
#include "vmms/host/host_check_service.h"

#include "common/base/path.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define SPACE_FAULT   (UINT64_C(16) << 20) /* bytes; definitions and logs are small */
#define SPACE_WARNING (UINT64_C(256) << 20)

/* ---- The worker's report ---- */

/* The first error of the report, or NULL. */
static struct json_object *service_find_error(struct json_object *report)
{
	struct json_object *findings = NULL;

	if (!json_object_object_get_ex(report, "findings", &findings) ||
	    !json_object_is_type(findings, json_type_array))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(findings); i++) {
		struct json_object *finding = json_object_array_get_idx(findings, i);

		if (json_object_is_type(finding, json_type_object) &&
		    strcmp(json_member_text(finding, "severity"), "error") == 0)
			return finding;
	}
	return NULL;
}

static void service_look_at_worker(const void *view, struct host_finding *finding)
{
	const struct host_service *service = view;
	struct json_object *error;

	if (!service->report) {
		host_found(finding, HOST_FAULT, "%s", service->report_problem);
		host_mend(finding, "apt install --reinstall vmms");
		return;
	}
	error = service_find_error(service->report);
	if (error) {
		host_found(finding, HOST_FAULT, "%s", json_member_text(error, "text"));
		host_mend(finding, "%s 'vmctl host' says all.", json_member_text(error, "advice"));
		return;
	}
	host_found(finding, HOST_OK, "guests get Hyper-V by the engine '%s', and stock kernels run",
		   json_member_text(service->report, "engine"));
}

/* ---- Rights ---- */

/* The effective capabilities as a mask. Return: 0, -errno. */
static int service_read_capabilities(const char *root, uint64_t *ret_mask)
{
	static const char key[] = "\nCapEff:";
	char text[4096];
	const char *at;
	int r = host_read(root, "/proc/self/status", text, sizeof(text));

	if (r < 0)
		return r;
	at = strstr(text, key);
	if (!at)
		return -ENOENT;
	*ret_mask = strtoull(at + strlen(key), NULL, 16);
	return 0;
}

static void service_judge_capabilities(uint64_t mask, struct host_finding *finding)
{
	static const struct {
		unsigned number;
		const char *name;
	} wanted[] = {
		{ CAP_CHOWN, "CAP_CHOWN" },     { CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE" },
		{ CAP_KILL, "CAP_KILL" },       { CAP_SETGID, "CAP_SETGID" },
		{ CAP_SETUID, "CAP_SETUID" },   { CAP_NET_ADMIN, "CAP_NET_ADMIN" },
		{ CAP_NET_RAW, "CAP_NET_RAW" }, { CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE" },
	};
	char missing[256] = "";

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!(mask & (UINT64_C(1) << wanted[i].number)))
			strcat(strcat(missing, " "), wanted[i].name);
	}
	if (missing[0] == '\0') {
		host_found(finding, HOST_OK, "vmms runs as root, with the rights that it needs");
		return;
	}
	host_found(finding, HOST_FAULT, "vmms runs as root, but without%s", missing);
	host_mend(finding,
		  "See what limits the service: systemctl cat vmms (CapabilityBoundingSet=), "
		  "or the container that it runs in");
}

static void service_look_at_rights(const void *view, struct host_finding *finding)
{
	const struct host_service *service = view;
	uint64_t mask;
	int r;

	if (!service->is_root) {
		host_found(finding, HOST_OK,
			   "vmms is a user's own: no virtual switches, no VMs of others");
		return;
	}
	r = service_read_capabilities(service->root, &mask);
	if (r < 0)
		host_found(finding, HOST_UNKNOWN, "/proc/self/status: %s", strerror(-r));
	else
		service_judge_capabilities(mask, finding);
}

static void service_look_at_passt(const void *view, struct host_finding *finding)
{
	const struct host_service *service = view;

	if (access(service->passt, X_OK) == 0) {
		host_found(finding, HOST_OK, "there is %s", service->passt);
		return;
	}
	host_found(finding, HOST_WARNING,
		   "%s: %s: VMs with the user-mode network, as new ones have, do not start",
		   service->passt, strerror(errno));
	host_mend(finding, "apt install passt");
}

static void service_look_at_image_server(const void *view, struct host_finding *finding)
{
	const struct host_service *service = view;

	if (access(service->image_server, X_OK) == 0) {
		host_found(finding, HOST_OK, "there is %s", service->image_server);
		return;
	}
	host_found(finding, HOST_WARNING,
		   "%s: %s: VMs with disk images of qcow2 or VMDK do not start",
		   service->image_server, strerror(errno));
	host_mend(finding, "apt install qemu-system-common");
}

static void service_look_at_apparmor(const void *view, struct host_finding *finding)
{
	const struct host_service *service = view;

	if (!service->is_root)
		return;
	if (!service->apparmor) {
		host_found(finding, HOST_OK, "each VM that starts gets an AppArmor profile");
		return;
	}
	host_found(finding, service->apparmor_is_required ? HOST_FAULT : HOST_OK,
		   "VMs are not confined by AppArmor: %s%s", service->apparmor,
		   service->apparmor_is_required ? "; so they do not start" : "");
	if (service->apparmor_is_required)
		host_mend(finding, "apt install apparmor; boot a kernel that has AppArmor (see "
				   "aa-enabled(1)); or set apparmor = auto in "
				   "/etc/vmms/vmms.conf, see vmms.conf(5)");
}

/* ---- Disk space ---- */

void host_judge_space(uint64_t available, const char *place, struct host_finding *finding)
{
	char text[HOST_SIZE_TEXT];

	host_format_size(available, text);
	if (available >= SPACE_WARNING) {
		host_found(finding, HOST_OK, "%s are free in %s", text, place);
		return;
	}
	host_found(finding, available < SPACE_FAULT ? HOST_FAULT : HOST_WARNING,
		   "only %s are free in %s, where vmms keeps what it knows of VMs", text, place);
	host_mend(finding, "Make room on that file system: df -h %s", place);
}

static void service_look_at_space(const char *place, struct host_finding *finding)
{
	struct statvfs status;

	if (statvfs(place, &status) < 0) {
		host_found(finding, HOST_UNKNOWN, "%s: %s", place, strerror(errno));
	} else if (status.f_flag & ST_RDONLY) {
		host_found(finding, HOST_FAULT, "%s is read-only: no VM can be made or changed",
			   place);
		host_mend(finding, "See why the kernel made it so: journalctl -k --grep 'remount|"
				   "I/O error'");
	} else {
		host_judge_space((uint64_t)status.f_bavail * status.f_frsize, place, finding);
	}
}

static void service_look_at_state(const void *view, struct host_finding *finding)
{
	service_look_at_space(((const struct host_service *)view)->state_directory, finding);
}

static void service_look_at_runtime(const void *view, struct host_finding *finding)
{
	service_look_at_space(((const struct host_service *)view)->runtime_directory, finding);
}

static void service_note_image(struct host_images *images, const char *path,
			       const struct stat *status, uint64_t available)
{
	uint64_t size = (uint64_t)status->st_size, used = (uint64_t)status->st_blocks * 512;
	size_t i = 0;

	while (i < images->count && images->file_systems[i].device != status->st_dev)
		i++;
	if (i == HOST_FILE_SYSTEMS_MAX) {
		images->unseen++;
		return;
	}
	if (i == images->count) {
		const char *slash = strrchr(path, '/');

		images->count++;
		images->file_systems[i].device = status->st_dev;
		snprintf(images->file_systems[i].place, sizeof(images->file_systems[i].place),
			 "%.*s", slash > path ? (int)(slash - path) : 1, path);
	}
	images->file_systems[i].images++;
	images->file_systems[i].available = available;
	images->file_systems[i].growth += size - MIN(size, used);
}

void host_images_add(struct host_images *images, const char *path)
{
	struct statvfs file_system;
	struct stat status;
	AUTO_CLOSE int fd = path_look(path, &status);

	if (fd < 0 || fstatvfs(fd, &file_system) < 0)
		images->unseen++;
	else if (S_ISREG(status.st_mode))
		service_note_image(images, path, &status,
				   (uint64_t)file_system.f_bavail * file_system.f_frsize);
}

/* The file system that lacks most. */
static size_t service_find_fullest(const struct host_images *images)
{
	size_t fullest = 0;

	for (size_t i = 1; i < images->count; i++) {
		const uint64_t growth = images->file_systems[i].growth,
			       available = images->file_systems[i].available,
			       worst = images->file_systems[fullest].growth -
				       MIN(images->file_systems[fullest].growth,
					   images->file_systems[fullest].available);

		if (growth - MIN(growth, available) > worst)
			fullest = i;
	}
	return fullest;
}

static void service_look_at_images(const void *view, struct host_finding *finding)
{
	const struct host_images *images = &((const struct host_service *)view)->images;
	char growth[HOST_SIZE_TEXT], available[HOST_SIZE_TEXT];
	size_t i = service_find_fullest(images);

	if (images->count == 0 && images->unseen > 0) {
		host_found(finding, HOST_UNKNOWN, "%u images could not be looked at",
			   images->unseen);
		host_mend(finding, "See that they are where the definitions say, and that the "
				   "owners of their VMs may read them");
		return;
	}
	if (images->count == 0) {
		host_found(finding, HOST_OK, "no VM has an image that could grow");
		return;
	}
	host_format_size(images->file_systems[i].growth, growth);
	host_format_size(images->file_systems[i].available, available);
	host_found(finding,
		   images->file_systems[i].growth > images->file_systems[i].available ? HOST_WARNING
										      : HOST_OK,
		   "images could grow by %s in %s and elsewhere on its file system, where %s are "
		   "free",
		   growth, images->file_systems[i].place, available);
	if (finding->verdict == HOST_WARNING)
		host_mend(finding,
			  "Make room, or move images, before guests get errors when they write: "
			  "df -h %s",
			  images->file_systems[i].place);
}

static void service_look_at_limits(const void *view, struct host_finding *finding)
{
	const struct host_service *service = view;

	if (!service->is_root)
		return;
	host_found(finding, service->at_limit ? HOST_WARNING : HOST_OK, "%s", service->limits);
	if (service->at_limit)
		host_mend(finding, "Delete or stop VMs; or have root raise user-… in "
				   "/etc/vmms/vmms.conf, see vmms.conf(5), and run: systemctl "
				   "restart vmms");
}

const struct host_check host_service_checks[] = {
	{ "guests", service_look_at_worker },      { "rights", service_look_at_rights },
	{ "passt", service_look_at_passt },        { "image-server", service_look_at_image_server },
	{ "apparmor", service_look_at_apparmor },  { "limits", service_look_at_limits },
	{ "state-space", service_look_at_state },  { "runtime-space", service_look_at_runtime },
	{ "image-space", service_look_at_images }, { 0 },
};
