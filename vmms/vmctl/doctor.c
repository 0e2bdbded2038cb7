/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checks of 'vmctl doctor' that take the caller's place.
 *
 * Sources: org.freedesktop.systemd1(5), org.freedesktop.timedate1(5), the D-Bus specification.
 */
#include "vmms/vmctl/doctor.h"

#include "common/base/cleanup.h"
#include "common/dbus_names.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#define SYSTEMD           "org.freedesktop.systemd1"
#define SYSTEMD_PATH      "/org/freedesktop/systemd1"
#define SYSTEMD_INTERFACE "org.freedesktop.systemd1.Manager"
#define TIMEDATE          "org.freedesktop.timedate1"
#define TIMEDATE_PATH     "/org/freedesktop/timedate1"
#define BUS               "org.freedesktop.DBus"
#define BUS_PATH          "/org/freedesktop/DBus"

#define UPGRADE "apt install vmms vmctl; systemctl restart vmms (VMs run on)"

/* ---- The bus ---- */

static void doctor_look_at_bus(const void *view, struct host_finding *finding)
{
	const struct doctor *doctor = view;

	if (doctor->bus) {
		host_found(finding, HOST_OK, "the message bus can be reached");
		return;
	}
	/* Without its advice. */
	host_found(finding, HOST_FAULT, "%.*s", (int)strcspn(doctor->bus_problem, ";"),
		   doctor->bus_problem);
	host_mend(finding, doctor->is_user_bus
				   ? "Log in by a session of systemd's (ssh, not su), and see "
				     "'systemctl --user status dbus'"
				   : "apt install dbus, systemctl start dbus; another bus is named "
				     "by --user or --address");
}

static void doctor_look_at_policy(const void *view, struct host_finding *finding)
{
	static const char *const folders[] = { "/usr/share/dbus-1/system.d",
					       "/etc/dbus-1/system.d" };
	const struct doctor *doctor = view;
	char path[PATH_MAX];

	if (!doctor->is_system_bus)
		return;
	if (doctor->report || doctor->not_permitted || doctor->hangs) {
		host_found(finding, HOST_OK, "the bus lets vmms have its name, " DBUS_NAME);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s%s/" DBUS_NAME ".conf", doctor->root, folders[i]);
		if (access(path, R_OK) == 0) {
			host_found(finding, HOST_OK, "the bus has the policy of " DBUS_NAME);
			return;
		}
	}
	host_found(finding, HOST_FAULT,
		   "the system bus has no policy for " DBUS_NAME ": vmms cannot "
		   "take its name there");
	host_mend(finding, "apt install --reinstall vmms; systemctl reload dbus");
}

static int doctor_call(const struct doctor *doctor, const char *const address[4],
		       sd_bus_error *error, sd_bus_message **ret_reply, const char *argument)
{
	AUTO_MESSAGE sd_bus_message *message = NULL;
	int r = sd_bus_message_new_method_call(doctor->bus, &message, address[0], address[1],
					       address[2], address[3]);

	if (r >= 0 && argument)
		r = sd_bus_message_append(message, "s", argument);
	return r < 0 ? r : sd_bus_call(doctor->bus, message, DOCTOR_BOUND, error, ret_reply);
}

/* Somebody has that name, or would be started for it. Return: 1; 0; -errno. */
static int doctor_is_on_bus(const struct doctor *doctor, const char *name)
{
	static const char *const methods[] = { "ListNames", "ListActivatableNames" };
	int found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(methods) && !found; i++) {
		const char *const address[] = { BUS, BUS_PATH, BUS, methods[i] };
		AUTO_MESSAGE sd_bus_message *reply = NULL;
		const char *one;
		int r = doctor_call(doctor, address, NULL, &reply, NULL);

		if (r >= 0)
			r = sd_bus_message_enter_container(reply, 'a', "s");
		while (r >= 0 && !found && (r = sd_bus_message_read(reply, "s", &one)) > 0)
			found = strcmp(one, name) == 0;
		if (r < 0)
			return r;
	}
	return found;
}

/* What stands beside vmms on the bus. */
static void doctor_look_at_neighbour(const struct doctor *doctor, const char *name,
				     const char *without, const char *mend,
				     struct host_finding *finding)
{
	int r;

	if (doctor->is_user_bus || !doctor->bus)
		return;
	r = doctor_is_on_bus(doctor, name);
	if (r < 0) {
		host_found(finding, HOST_UNKNOWN, "the bus cannot be asked: %s", strerror(-r));
	} else if (r > 0) {
		host_found(finding, HOST_OK, "%s is there", name);
	} else {
		host_found(finding, HOST_WARNING, "%s is not on the bus: %s", name, without);
		host_mend(finding, "%s", mend);
	}
}

static void doctor_look_at_polkit(const void *view, struct host_finding *finding)
{
	doctor_look_at_neighbour(view, "org.freedesktop.PolicyKit1",
				 "nobody but root, and owners of VMs, may do anything",
				 "apt install polkitd", finding);
}

static void doctor_look_at_machined(const void *view, struct host_finding *finding)
{
	doctor_look_at_neighbour(view, "org.freedesktop.machine1", "machinectl does not show VMs",
				 "apt install systemd-container", finding);
}

/* ---- The service ---- */

static void doctor_look_at_service(const void *view, struct host_finding *finding)
{
	const struct doctor *doctor = view;
	struct json_object *member = NULL;
	const char *version;

	if (doctor->not_permitted) {
		host_found(finding, HOST_UNKNOWN, "vmms does not tell you: %s", doctor->problem);
		host_mend(finding, "sudo vmctl doctor");
		return;
	}
	if (doctor->hangs) {
		host_found(finding, HOST_FAULT, "vmms hangs: it is on the bus, and says nothing");
		host_mend(finding,
			  doctor->is_user_bus
				  ? "pkill -KILL -u $(id -u) -x vmms; vmms --user &"
				  : "systemctl kill --kill-who=main --signal=KILL vmms; systemctl "
				    "start vmms (VMs run on)");
		return;
	}
	if (doctor->too_old) {
		host_found(finding, HOST_WARNING,
			   "vmms is older than vmctl, which is of "
			   "version " VMMS_VERSION);
		host_mend(finding, UPGRADE);
		return;
	}
	if (!doctor->report) {
		host_found(finding, HOST_FAULT, "vmms cannot be asked: %s",
			   doctor->problem ? doctor->problem : "there is no bus");
		host_mend(finding, doctor->is_user_bus
					   ? "vmms --user &"
					   : "systemctl enable --now vmms; if that fails, "
					     "journalctl -u vmms says why");
		return;
	}
	version = json_object_object_get_ex(doctor->report, "version", &member)
			  ? json_object_get_string(member)
			  : "?";
	if (strcmp(version, VMMS_VERSION) == 0) {
		host_found(finding, HOST_OK, "vmms %s answers", version);
		return;
	}
	host_found(finding, HOST_WARNING, "vmms is of version %s, vmctl of " VMMS_VERSION, version);
	host_mend(finding, UPGRADE);
}

/* ---- Units ---- */

static const struct {
	const char *state; /* UnitFileState of org.freedesktop.systemd1(5) */
	enum host_verdict verdict;
	const char *found; /* the unit … */
	const char *mend;  /* command of systemctl; NULL: none */
} unit_states[] = {
	{ "enabled", HOST_OK, "starts with the host", NULL },
	{ "static", HOST_OK, "starts when it is asked for", NULL },
	{ "enabled-runtime", HOST_WARNING, "starts until the host is booted again", "enable" },
	{ "disabled", HOST_WARNING, "does not start with the host", "enable --now" },
	{ "masked", HOST_FAULT, "is masked, and cannot be started", "unmask" },
	{ "masked-runtime", HOST_FAULT, "is masked, and cannot be started", "unmask --runtime" },
};

static void doctor_judge_unit(const char *unit, const char *state, struct host_finding *finding)
{
	for (size_t i = 0; i < ARRAY_SIZE(unit_states); i++) {
		if (strcmp(unit_states[i].state, state) != 0)
			continue;
		host_found(finding, unit_states[i].verdict, "%s %s", unit, unit_states[i].found);
		if (unit_states[i].mend)
			host_mend(finding, "systemctl %s %s", unit_states[i].mend, unit);
		return;
	}
	host_found(finding, HOST_UNKNOWN, "%s is '%s', says systemd", unit, state);
	host_mend(finding, "systemctl status %s", unit);
}

static bool doctor_is_absent(const sd_bus_error *error)
{
	return sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
	       sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

static void doctor_look_at_unit(const struct doctor *doctor, const char *unit,
				struct host_finding *finding)
{
	static const char *const address[] = { SYSTEMD, SYSTEMD_PATH, SYSTEMD_INTERFACE,
					       "GetUnitFileState" };
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	const char *state;
	int r;

	if (doctor->is_user_bus || !doctor->bus)
		return;
	r = doctor_call(doctor, address, &error, &reply, unit);
	if (r >= 0)
		r = sd_bus_message_read(reply, "s", &state);
	if (r >= 0) {
		doctor_judge_unit(unit, state, finding);
	} else if (sd_bus_error_has_name(&error, SD_BUS_ERROR_FILE_NOT_FOUND)) {
		host_found(finding, HOST_WARNING, "systemd knows no %s", unit);
		host_mend(finding, "apt install --reinstall vmms; systemctl daemon-reload");
	} else {
		host_found(finding, HOST_UNKNOWN,
			   "whether %s is enabled: systemd cannot be asked%s%s", unit,
			   doctor_is_absent(&error) ? ", and is not on the bus" : ": ",
			   doctor_is_absent(&error) ? ""
			   : error.message          ? error.message
						    : strerror(-r));
	}
}

static void doctor_look_at_main_unit(const void *view, struct host_finding *finding)
{
	doctor_look_at_unit(view, "vmms.service", finding);
}

/* Without it guests lose their power when the host goes down. */
static void doctor_look_at_guests_unit(const void *view, struct host_finding *finding)
{
	doctor_look_at_unit(view, "vmms-guests.service", finding);
}

/* ---- The caller ---- */

static bool doctor_session_has_group(gid_t gid)
{
	gid_t groups[NGROUPS_MAX];
	int count = getgroups(ARRAY_SIZE(groups), groups);

	for (int i = 0; i < count; i++) {
		if (groups[i] == gid)
			return true;
	}
	return getegid() == gid;
}

static bool doctor_group_lists(const struct group *group, const char *user)
{
	for (char **member = group->gr_mem; *member; member++) {
		if (strcmp(*member, user) == 0)
			return true;
	}
	return false;
}

static void doctor_judge_member(const char *name, const struct group *group,
				struct host_finding *finding)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *user_name = user ? user->pw_name : "?";

	if (doctor_session_has_group(group->gr_gid)) {
		host_found(finding, HOST_OK, "%s is in group '%s', and may have VMs", user_name,
			   name);
	} else if (doctor_group_lists(group, user_name)) {
		host_found(finding, HOST_WARNING, "%s is in group '%s', but not in this session",
			   user_name, name);
		host_mend(finding, "Log in again, or: newgrp %s", name);
	} else {
		host_found(finding, HOST_WARNING,
			   "%s is not in group '%s', whose members may have VMs", user_name, name);
		host_mend(finding, "sudo adduser %s %s, and log in again; or use sudo vmctl",
			  user_name, name);
	}
}

static void doctor_look_at_group(const void *view, struct host_finding *finding)
{
	const struct doctor *doctor = view;
	struct json_object *member = NULL;
	const struct group *group;
	const char *name = "vmms";

	if (doctor->is_user_bus)
		return;
	if (doctor->report && json_object_object_get_ex(doctor->report, "group", &member))
		name = json_object_get_string(member);
	group = getgrnam(name);
	if (!group) {
		host_found(finding, HOST_WARNING,
			   "there is no group '%s', whose members could have VMs", name);
		host_mend(finding, "apt install --reinstall vmms; by hand: addgroup --system %s",
			  name);
	} else if (geteuid() == 0) {
		host_found(finding, HOST_OK, "you are root, who may everything");
	} else {
		doctor_judge_member(name, group, finding);
	}
}

/* ---- The clock ---- */

/* Return: 1: synchronised; 0: not; -errno. Where there is no timedated, as it would find out. */
static int doctor_is_synchronised(const struct doctor *doctor)
{
	static const char *const address[] = { TIMEDATE, TIMEDATE_PATH,
					       "org.freedesktop.DBus.Properties", "Get" };
	AUTO_MESSAGE sd_bus_message *message = NULL, *reply = NULL;
	struct timex timex = { 0 };
	int synchronised = 0, r = doctor->bus && !doctor->is_user_bus ? 0 : -ENOTCONN;

	if (r == 0)
		r = sd_bus_message_new_method_call(doctor->bus, &message, address[0], address[1],
						   address[2], address[3]);
	if (r >= 0)
		r = sd_bus_message_append(message, "ss", TIMEDATE, "NTPSynchronized");
	if (r >= 0)
		r = sd_bus_call(doctor->bus, message, DOCTOR_BOUND, NULL, &reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "v", "b", &synchronised);
	if (r >= 0)
		return synchronised;
	r = adjtimex(&timex);
	return r < 0 ? -errno : !(timex.status & STA_UNSYNC);
}

static void doctor_look_at_clock(const void *view, struct host_finding *finding)
{
	int r = doctor_is_synchronised(view);

	if (r < 0) {
		host_found(finding, HOST_UNKNOWN, "the kernel does not tell: %s", strerror(-r));
	} else if (r > 0) {
		host_found(finding, HOST_OK, "the host's clock is synchronised");
	} else {
		host_found(finding, HOST_WARNING,
			   "the host's clock is not synchronised, and guests get their time of it");
		host_mend(finding, "apt install systemd-timesyncd (or chrony); timedatectl set-ntp "
				   "true");
	}
}

static void doctor_look_at_modules(const void *view, struct host_finding *finding)
{
	host_look_at_modules(&((const struct doctor *)view)->kernel, finding);
}

const struct host_check doctor_checks[] = {
	{ "bus", doctor_look_at_bus },
	{ "bus-policy", doctor_look_at_policy },
	{ "service", doctor_look_at_service },
	{ "unit", doctor_look_at_main_unit },
	{ "guests-unit", doctor_look_at_guests_unit },
	{ "group", doctor_look_at_group },
	{ "polkit", doctor_look_at_polkit },
	{ "machined", doctor_look_at_machined },
	{ "clock", doctor_look_at_clock },
	{ "modules", doctor_look_at_modules },
	{ 0 },
};
