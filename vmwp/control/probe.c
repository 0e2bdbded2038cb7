/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this host's KVM can do for us. */
#include "vmwp/control/probe.h"

#include "hvshim/hvshim.h"
#include "vmwp/base/exit_status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char needs_native[] =
	"Use a host with hardware virtualisation, or a VM that has it nested; on this one only "
	"small guests made for it run.";

static void probe_find(struct json_object **findings, const char *severity, const char *text,
		       const char *advice)
{
	json_append(findings, json_make("severity", json_object_new_string(severity), "text",
					json_object_new_string(text), "advice",
					json_object_new_string(advice), NULL));
}

static struct json_object *probe_missing(const struct vid *vid, struct json_object **findings)
{
	struct json_object *missing = json_object_new_array();
	const char *name;

	for (size_t i = 0; (name = vid_missing(vid, i)); i++) {
		char text[128];

		snprintf(text, sizeof(text), "KVM lacks %s, which every VM needs.", name);
		probe_find(findings, "error", text, "Use a newer kernel, with a complete KVM.");
		json_append(&missing, json_object_new_string(name));
	}
	return missing;
}

static bool probe_engine(struct vid *vid, enum hvshim_engine engine)
{
	enum hvshim_engine chosen;

	return hvshim_choose_engine(vid, engine, &chosen) == 0;
}

static struct json_object *probe_engines(struct vid *vid, struct json_object **findings)
{
	bool kernel = probe_engine(vid, HVSHIM_ENGINE_KERNEL);
	bool user = probe_engine(vid, HVSHIM_ENGINE_USER);

	if (!kernel && user)
		probe_find(findings, "info",
			   "KVM does not emulate Hyper-V's SynIC; the user-space engine is used.",
			   "A kernel with CONFIG_KVM_HYPERV has the in-kernel engine as well.");
	if (!kernel && !user)
		probe_find(findings, "error",
			   "KVM has neither Hyper-V's SynIC nor user-space MSRs: no engine runs.",
			   "Use Linux 5.10 or newer.");
	return json_make(hvshim_engine_name(HVSHIM_ENGINE_KERNEL), json_object_new_boolean(kernel),
			 hvshim_engine_name(HVSHIM_ENGINE_USER), json_object_new_boolean(user),
			 NULL);
}

static struct json_object *probe_kernel_mode(struct vid *vid, struct json_object **findings,
					     bool *ret_native)
{
	struct vid_calibration calibration;
	char text[160];
	int r = vid_calibrate(vid, &calibration);

	*ret_native = r == 0 && calibration.native;
	if (r < 0) {
		snprintf(text, sizeof(text), "A small guest could not be run: %s.", strerror(-r));
		probe_find(findings, "error", text, "Look at the kernel's log.");
		return json_make("native", json_object_new_boolean(false), NULL);
	}
	if (!calibration.native) {
		snprintf(text, sizeof(text),
			 "KVM emulates the guest's kernel mode, %.0f times slower than the host: "
			 "stock kernels do not boot in reasonable time.",
			 calibration.kernel_mode_ns / calibration.host_ns);
		probe_find(findings, "error", text, needs_native);
	}
	return json_make("native", json_object_new_boolean(calibration.native), "guest_ns",
			 json_object_new_double(calibration.kernel_mode_ns), "host_ns",
			 json_object_new_double(calibration.host_ns), NULL);
}

struct json_object *probe_report(struct vid *vid)
{
	const struct vid_capabilities *capabilities = vid_capabilities(vid);
	struct json_object *findings = json_object_new_array();
	struct json_object *missing = probe_missing(vid, &findings);
	struct json_object *engines = probe_engines(vid, &findings);
	enum hvshim_engine engine;
	bool runs = !vid_missing(vid, 0) &&
		    hvshim_choose_engine(vid, HVSHIM_ENGINE_AUTO, &engine) == 0,
	     native;
	struct json_object *kernel_mode = probe_kernel_mode(vid, &findings, &native);

	return json_make("kvm", json_object_new_boolean(true), "implementation",
			 json_object_new_string(capabilities->implementation), "api_version",
			 json_object_new_int64(capabilities->api_version), "max_vps",
			 json_object_new_int64(capabilities->max_vps), "engines", engines, "engine",
			 json_object_new_string(runs ? hvshim_engine_name(engine) : ""),
			 "kernel_mode", kernel_mode, "runs_stock_kernels",
			 json_object_new_boolean(runs && native), "missing", missing, "findings",
			 findings, NULL);
}

static struct json_object *probe_no_kvm(int error)
{
	static const struct {
		int error;
		const char *advice;
	} advices[] = {
		{ -ENOENT, "Load kvm_amd or kvm_intel, and see that the firmware's setup, or the "
			   "hypervisor this host runs on, enables virtualisation." },
		{ -EACCES, "Run as root, or as a member of the group that /dev/kvm belongs to." },
		{ -EPERM, "Run as root, or as a member of the group that /dev/kvm belongs to." },
	};
	const char *advice = "Look at the kernel's log.";
	struct json_object *findings = json_object_new_array();
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(advices); i++)
		if (advices[i].error == error)
			advice = advices[i].advice;
	snprintf(text, sizeof(text), "KVM cannot be used: /dev/kvm: %s.", strerror(-error));
	probe_find(&findings, "error", text, advice);
	return json_make("kvm", json_object_new_boolean(false), "engine",
			 json_object_new_string(""), "runs_stock_kernels",
			 json_object_new_boolean(false), "findings", findings, NULL);
}

int probe_print(void)
{
	CLEANUP(vid_closep) struct vid *vid = NULL;
	int r = vid_open(-1, &vid);
	AUTO_JSON struct json_object *report = r < 0 ? probe_no_kvm(r) : probe_report(vid);

	if (!report) {
		fputs("vmwp: out of memory\n", stderr);
		return STATUS_ERROR;
	}
	puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
	return STATUS_OK;
}
