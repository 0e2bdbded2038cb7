/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who calls, and what they may.
 *
 * A call that polkit has to be asked about is put aside (vmms/bus/dbus_question.h) and, when there
 * is an answer, read again from the beginning: all is looked at anew then, since its VM may be
 * another's or gone, and the answer counts for the action and the VM that were asked about alone.
 *
 * Objects that a caller does not see are refused before it is known whether they exist.
 */
#include "vmms/bus/dbus_access.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/bus/dbus_size.h"
#include "vmms/bus/permit.h"
#include "vmms/image/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REFUSALS_LOGGED   20       /* in each interval */
#define REFUSALS_INTERVAL 10000000 /* microseconds */

#define INTROSPECTABLE "org.freedesktop.DBus.Introspectable"
#define PEER           "org.freedesktop.DBus.Peer"
#define PROPERTIES     "org.freedesktop.DBus.Properties"
#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"

/* ---- What a call needs ---- */

enum need {
	NEED_NOTHING,
	NEED_LIST, /* of whoever has VMs, or may have: they get theirs; of others, to read */
	NEED_READ, /* this and the rest: that it is the caller's VM, or the action */
	NEED_CONSOLE,
	NEED_SCREEN,
	NEED_KEYS,
	NEED_MANAGE,
	NEED_CREATE, /* to be in the group, or to manage */
};

static const struct {
	const char *action;
	const char *action_text; /* "user 'x' may not …" */
} needs[] = {
	[NEED_LIST] = { POLKIT_ACTION_READ, "see VMs of others, and has none" },
	[NEED_READ] = { POLKIT_ACTION_READ, "see what is others'" },
	[NEED_CONSOLE] = { POLKIT_ACTION_CONSOLE, "open consoles of others' VMs" },
	[NEED_SCREEN] = { POLKIT_ACTION_SCREEN, "look at screens of others' VMs" },
	[NEED_KEYS] = { POLKIT_ACTION_KEYS, "type on keyboards of others' VMs" },
	[NEED_MANAGE] = { POLKIT_ACTION_MANAGE, "change what is others', or the host's" },
	[NEED_CREATE] = { POLKIT_ACTION_MANAGE, "create VMs and disks" },
};

/* All that is not here needs NEED_MANAGE. member NULL: any. */
static const struct {
	const char *interface, *member;
	enum need need;
} calls[] = {
	{ PEER, NULL, NEED_NOTHING },
	{ INTROSPECTABLE, NULL, NEED_READ },
	{ PROPERTIES, "Get", NEED_READ },
	{ PROPERTIES, "GetAll", NEED_READ },
	{ OBJECT_MANAGER, NULL, NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "ListVMs", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "ListJobs", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "ListSwitches", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "ListCPUGroups", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "HostReport", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "CheckHost", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "GetStatistics", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "GetMeters", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "Subscribe", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "Unsubscribe", NEED_LIST },
	{ DBUS_INTERFACE_MANAGER, "GetVM", NEED_READ },
	{ DBUS_INTERFACE_MANAGER, "GetJob", NEED_READ },
	{ DBUS_INTERFACE_MANAGER, "GetSwitch", NEED_READ },
	{ DBUS_INTERFACE_MANAGER, "CreateVM", NEED_CREATE },
	{ DBUS_INTERFACE_MANAGER, "ExpectVM", NEED_CREATE },
	{ DBUS_INTERFACE_MANAGER, "WorkOnDisk", NEED_CREATE },
	{ DBUS_INTERFACE_FILES, "OpenConsole", NEED_CONSOLE },
	{ DBUS_INTERFACE_FILES, "TakePicture", NEED_SCREEN },
	{ DBUS_INTERFACE_FILES, "WatchScreen", NEED_SCREEN },
	{ DBUS_INTERFACE_VM, "PressKeys", NEED_KEYS },
	{ DBUS_INTERFACE_VM, "GetLog", NEED_READ },
	{ DBUS_INTERFACE_VM, "GetDisks", NEED_READ },
	{ DBUS_INTERFACE_VM, "ListCheckpoints", NEED_READ },
	{ DBUS_INTERFACE_VM, "GetFirmware", NEED_READ },
	{ DBUS_INTERFACE_VM, "GetProcessors", NEED_READ },
	{ DBUS_INTERFACE_VM, "GetStatistics", NEED_READ },
	{ DBUS_INTERFACE_VM, "GetMeter", NEED_READ },
	{ DBUS_INTERFACE_VM, "ListGuestValues", NEED_READ },
	{ DBUS_INTERFACE_VM, "GetGuestValue", NEED_READ },
	{ DBUS_INTERFACE_JOB, "Wait", NEED_READ },
};

/* Not a VM, job or switch, but what holds all of them. */
static bool dbus_access_is_about_all(const char *path)
{
	static const char *const prefixes[] = { DBUS_VM_PREFIX "/", DBUS_JOB_PREFIX "/",
						DBUS_SWITCH_PREFIX "/" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
			return false;
	}
	return true;
}

static enum need dbus_access_call_need(sd_bus_message *call)
{
	const char *interface = sd_bus_message_get_interface(call);
	const char *member = sd_bus_message_get_member(call);

	for (size_t i = 0; interface && i < ARRAY_SIZE(calls); i++) {
		if (strcmp(calls[i].interface, interface) != 0 ||
		    (calls[i].member && strcmp(calls[i].member, member) != 0))
			continue;
		if (strncmp(interface, "org.freedesktop.", strlen("org.freedesktop.")) == 0 &&
		    calls[i].need == NEED_READ &&
		    dbus_access_is_about_all(sd_bus_message_get_path(call)))
			return NEED_LIST;
		return calls[i].need;
	}
	return NEED_MANAGE;
}

/* ---- Which VM it is about ---- */

/* Of methods of the manager that take one argument of that type. */
static bool dbus_access_read_argument(sd_bus_message *call, const char *type, void *value)
{
	int r = sd_bus_message_read(call, type, value);

	(void)sd_bus_message_rewind(call, true);
	return r > 0;
}

static bool dbus_access_is_of_manager(sd_bus_message *call)
{
	return strcmp(sd_bus_message_get_path(call), DBUS_PATH) == 0;
}

static const char *dbus_access_named_vm(sd_bus_message *call)
{
	const char *name;

	if (!dbus_access_is_of_manager(call) ||
	    (!sd_bus_message_is_method_call(call, DBUS_INTERFACE_MANAGER, "GetVM") &&
	     !sd_bus_message_is_method_call(call, DBUS_INTERFACE_MANAGER, "DeleteVM")))
		return NULL;
	return dbus_access_read_argument(call, "s", &name) ? name : NULL;
}

static struct vm *dbus_access_job_vm(const struct dbus_service *service, const struct job *job)
{
	return job ? manager_find_uuid(service->manager, &job->vm_uuid) : NULL;
}

/* The job that is addressed, or asked for; NULL: none, or it is not there. */
static const struct job *dbus_access_call_job(const struct dbus_service *service,
					      sd_bus_message *call)
{
	uint32_t id;

	if (!dbus_access_is_of_manager(call))
		return dbus_job_find(service, sd_bus_message_get_path(call));
	if (!sd_bus_message_is_method_call(call, DBUS_INTERFACE_MANAGER, "GetJob") ||
	    !dbus_access_read_argument(call, "u", &id))
		return NULL;
	return jobs_find(service->manager->jobs, id);
}

/* The VM that is addressed, or whose job is; NULL: none, or it is not there. */
static struct vm *dbus_access_call_vm(const struct dbus_service *service, sd_bus_message *call)
{
	const char *path = sd_bus_message_get_path(call), *name = dbus_access_named_vm(call);
	struct guid uuid;

	if (name)
		return manager_find(service->manager, name);
	if (dbus_object_path_parse(path, DBUS_VM_PREFIX, &uuid) == 0)
		return manager_find_uuid(service->manager, &uuid);
	return dbus_access_job_vm(service, dbus_access_call_job(service, call));
}

/* ---- Who calls ---- */

static bool dbus_access_may_everything(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool dbus_access_is_at_home(const struct dbus_service *service)
{
	const struct user_found *user = service->access.user;

	return user->is_member || permit_count(user, &service->manager->vms) > 0;
}

/* Of a call that was forwarded (vmms/bus/call_forwarder.h), the sender is still that on the bus. */
static int dbus_access_read_uid(const struct dbus_service *service, sd_bus_message *call,
				uid_t *ret_uid)
{
	CLEANUP(sd_bus_creds_unrefp) sd_bus_creds *credentials = NULL;
	const char *sender = sd_bus_message_get_sender(call);
	int r;

	if (!sender || !service->bus)
		return -ENXIO;
	r = sd_bus_get_name_creds(service->bus, sender, SD_BUS_CREDS_EUID, &credentials);
	return r < 0 ? r : sd_bus_creds_get_euid(credentials, ret_uid);
}

/* The filter's, which has let the call pass. */
struct dbus_service *dbus_access_service_of(sd_bus_message *call)
{
	return sd_bus_slot_get_userdata(sd_bus_get_current_slot(sd_bus_message_get_bus(call)));
}

const struct user_found *dbus_caller(sd_bus_message *call)
{
	return dbus_access_service_of(call)->access.user;
}

bool dbus_caller_sees(const struct dbus_service *service, const struct vm *vm)
{
	return service->access.sees_all ||
	       (vm && permit_is_owner(service->access.user, vm->definition));
}

bool dbus_caller_is(const struct dbus_service *service, uid_t user)
{
	const struct user_found *caller = service->access.user;

	return service->access.sees_all || (caller && caller->uid == user);
}

bool dbus_reader_sees_all(const struct dbus_service *service)
{
	sd_bus_message *call = sd_bus_get_current_message(service->bus);
	const char *interface = call ? sd_bus_message_get_interface(call) : NULL;

	if (!interface ||
	    (strcmp(interface, PROPERTIES) != 0 && strcmp(interface, OBJECT_MANAGER) != 0))
		return true;
	return service->access.sees_all;
}

/* ---- Refusing ---- */

/* Everybody can be refused as often as they like, and what else is logged is to be seen. */
static void dbus_access_log_refusal(struct dbus_access *access, uint64_t now, const char *text)
{
	if (now - access->refusals_since >= REFUSALS_INTERVAL) {
		access->refusals_since = now;
		access->refusals = 0;
	}
	access->refusals++;
	if (access->refusals <= REFUSALS_LOGGED)
		log_info("a call was refused: %s", text);
	if (access->refusals == REFUSALS_LOGGED)
		log_info("if more calls are refused in the next %d seconds, that is not logged",
			 REFUSALS_INTERVAL / 1000000);
}

static int dbus_access_refuse(struct dbus_service *service, sd_bus_message *call, const char *name,
			      const char *text)
{
	uint64_t now = 0;
	int r;

	(void)sd_event_now(service->manager->loop, CLOCK_MONOTONIC, &now);
	dbus_access_log_refusal(&service->access, now, text);
	r = sd_bus_reply_method_errorf(call, name, "%s", text);
	return r < 0 ? r : 1;
}

static int dbus_access_refuse_uid(struct dbus_service *service, sd_bus_message *call, uid_t uid)
{
	char text[128];

	if (uid == (uid_t)-1)
		return dbus_access_refuse(service, call, SD_BUS_ERROR_ACCESS_DENIED,
					  "the caller has gone, or is not known to the bus");
	snprintf(text, sizeof(text),
		 "uid %d may not use this vmms; root may, for instance with sudo", (int)uid);
	return dbus_access_refuse(service, call, SD_BUS_ERROR_ACCESS_DENIED, text);
}

static int dbus_access_refuse_need(struct dbus_service *service, sd_bus_message *call,
				   enum need need, enum polkit_answer answer)
{
	static const char *const why[] = {
		[POLKIT_NO] = "polkit does not allow",
		[POLKIT_CHALLENGE] = "polkit wants authentication, and nobody can be asked, for",
		[POLKIT_ABSENT] = "polkit, which does not answer, is asked for",
		[POLKIT_LATE] = "nobody authenticated in time for",
	};
	const char *user = service->access.user->name, *name = dbus_access_named_vm(call);
	char text[FAILURE_MESSAGE_MAX], group[128] = "";

	if (name && dbus_access_is_at_home(service)) {
		snprintf(text, sizeof(text),
			 "user '%s' has no VM '%s', and may not do that with VMs of others; 'vmctl "
			 "list' shows which there are",
			 user, name);
		return dbus_access_refuse(service, call, DBUS_ERROR_NO_SUCH_VM, text);
	}
	if (need == NEED_CREATE || need == NEED_LIST)
		snprintf(group, sizeof(group), "; members of group '%s' may have VMs of their own",
			 service->settings.group);
	snprintf(text, sizeof(text),
		 "user '%s' may not %s: %s %s; root may, for instance with sudo%s", user,
		 needs[need].action_text, why[answer], needs[need].action, group);
	return dbus_access_refuse(service, call,
				  answer == POLKIT_CHALLENGE
					  ? SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED
					  : SD_BUS_ERROR_ACCESS_DENIED,
				  text);
}

static int dbus_access_refuse_size(struct dbus_service *service, sd_bus_message *call, int error)
{
	char text[128];

	if (error == -ENOMEM)
		return error;
	if (error != -EMSGSIZE)
		return dbus_access_refuse(service, call, SD_BUS_ERROR_INVALID_ARGS,
					  "the arguments of a call cannot be read");
	snprintf(text, sizeof(text), "a call has more than %d bytes, which none needs",
		 DBUS_CALL_MAX);
	return dbus_access_refuse(service, call, SD_BUS_ERROR_LIMITS_EXCEEDED, text);
}

/* ---- What takes its time ---- */

/* The call is put aside, or why it is not. Return: as a handler. */
static int dbus_access_wait_for_answer(struct dbus_service *service, sd_bus_message *call, int r)
{
	if (r == -EBUSY)
		return dbus_access_refuse(
			service, call, SD_BUS_ERROR_LIMITS_EXCEEDED,
			"too many calls, or too large ones, wait for polkit, or for the user "
			"database; try again later");
	return r < 0 ? r : 1;
}

/* ---- The check ---- */

/* The need is the caller's without polkit. */
static bool dbus_access_is_met(const struct dbus_service *service, enum need need,
			       const struct vm *vm, const struct job *job)
{
	const struct user_found *user = service->access.user;

	if (job && job->has_user && job->user == user->uid)
		return true;
	/* Its VM was the caller's, and has moved away. */
	if (job && !vm && job->vm_owner[0] != '\0' && strcmp(job->vm_owner, user->name) == 0)
		return true;
	if (need == NEED_NOTHING)
		return true;
	if (need == NEED_CREATE)
		return user->is_member;
	return need != NEED_LIST && vm && permit_is_owner(user, vm->definition);
}

/* polkit has said something about that action. */
static int dbus_access_settle(struct dbus_service *service, sd_bus_message *call, enum need need,
			      bool optional, enum polkit_answer answer)
{
	if (answer != POLKIT_YES && !optional)
		return dbus_access_refuse_need(service, call, need, answer);
	service->access.sees_all =
		answer == POLKIT_YES && strcmp(needs[need].action, POLKIT_ACTION_READ) == 0;
	return 0;
}

/* polkit has been asked about this, and not about a VM that was there then. */
static bool dbus_access_is_answered(const struct dbus_answers *answers, enum need need,
				    const struct vm *vm)
{
	const struct guid none = { 0 };

	return answers->action && strcmp(answers->action, needs[need].action) == 0 &&
	       guid_equal(&answers->vm, vm ? &vm->definition->uuid : &none);
}

static int dbus_access_check_user(struct dbus_service *service, sd_bus_message *call)
{
	const struct dbus_answers *answers = &service->access.answers;
	enum need need = dbus_access_call_need(call);
	const struct vm *vm = dbus_access_call_vm(service, call);
	bool optional, interactive;

	if (dbus_access_is_met(service, need, vm, dbus_access_call_job(service, call)))
		return 0;
	optional = need == NEED_LIST && dbus_access_is_at_home(service);
	if (dbus_access_is_answered(answers, need, vm))
		return dbus_access_settle(service, call, need, optional, answers->polkit);
	interactive = !optional && sd_bus_message_get_allow_interactive_authorization(call) > 0;
	return dbus_access_wait_for_answer(
		service, call,
		dbus_question_ask_polkit(service, call, needs[need].action, vm, interactive));
}

/* Who the caller is may be known, or have been looked up for this call. */
static int dbus_access_find_caller(struct dbus_service *service, uid_t uid)
{
	struct dbus_answers *answers = &service->access.answers;
	const struct user_key key = { .uid = uid };

	if (!answers->has_user) {
		answers->user_result =
			user_lookups_find(service->access.lookups, &key, &answers->user);
		answers->has_user = answers->user_result != -EAGAIN;
	}
	return answers->user_result;
}

static int dbus_access_check_other(struct dbus_service *service, sd_bus_message *call, uid_t uid)
{
	char text[128];
	int r;

	r = dbus_access_find_caller(service, uid);
	if (r == -EAGAIN)
		return dbus_access_wait_for_answer(service, call,
						   dbus_question_ask_caller(service, call, uid));
	if (r == -ESRCH)
		return dbus_access_refuse_uid(service, call, uid);
	if (r < 0) {
		snprintf(text, sizeof(text), "uid %d cannot be looked up in the user database: %s",
			 (int)uid, strerror(-r));
		return dbus_access_refuse(service, call, SD_BUS_ERROR_ACCESS_DENIED, text);
	}
	service->access.user = &service->access.answers.user;
	return dbus_access_check_user(service, call);
}

static void dbus_access_forget_caller(struct dbus_access *access)
{
	access->user = NULL;
	access->sees_all = false;
	dbus_answers_deinit(&access->answers);
}

/* Return: 1: dealt with; 0: the objects are to see it; -errno. */
int dbus_access_check(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	uid_t uid = (uid_t)-1;
	uint8_t type;
	int r;

	r = sd_bus_message_get_type(message, &type);
	if (r < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
		return r;
	dbus_access_forget_caller(&service->access);
	service->access.answers = dbus_question_take(&service->access.questions, message);
	r = dbus_size_measure(message, DBUS_CALL_MAX, &service->access.call_size);
	if (r < 0)
		return dbus_access_refuse_size(service, message, r);
	r = dbus_access_read_uid(service, message, &uid);
	if (r >= 0 && dbus_access_may_everything(uid)) {
		service->access.sees_all = true;
		return 0;
	}
	if (r < 0 || geteuid() != 0)
		return dbus_access_refuse_uid(service, message, uid);
	return dbus_access_check_other(service, message, uid);
}

/* ---- Who is to own a VM ---- */

/* Users own what they make, and root alone gives it away. */
int dbus_check_owner(sd_bus_message *call, const struct definition *before,
		     struct definition *wanted, struct failure *failure)
{
	struct dbus_service *service = dbus_access_service_of(call);
	const struct dbus_answers *answers = &service->access.answers;
	const struct user_found *user = service->access.user;
	const char *owner = wanted->owner;
	int r;

	if (!owner || geteuid() != 0)
		return 0;
	if (user) {
		wanted->owner_uid = before ? before->owner_uid : user->uid;
		return 0;
	}
	if (before && text_equal(before->owner, owner) && before->owner_uid == wanted->owner_uid)
		return 0;
	if (text_equal(answers->owner, owner)) {
		wanted->owner_uid = answers->owner_uid;
		return resources_refuse_owner(owner, answers->owner_result, failure);
	}
	r = dbus_question_ask_owner(service, call, owner);
	return r < 0 ? resources_refuse_owner(owner, r, failure) : 1;
}

/* ---- Life ---- */

int dbus_access_init(struct dbus_access *access, sd_event *loop, struct helpers *helpers,
		     const char *group)
{
	list_init(&access->questions);
	return user_lookups_new(loop, helpers, group, &access->lookups);
}

void dbus_access_forget(struct dbus_access *access)
{
	list_for_each (link, &access->questions)
		dbus_question_free(container_of(link, struct dbus_question, link));
	dbus_access_forget_caller(access);
}

void dbus_access_forget_bus(struct dbus_access *access, const sd_bus *bus)
{
	list_for_each (link, &access->questions) {
		struct dbus_question *question = container_of(link, struct dbus_question, link);

		if (sd_bus_message_get_bus(question->call) == bus)
			dbus_question_free(question);
	}
}

void dbus_access_deinit(struct dbus_access *access)
{
	dbus_access_forget(access);
	user_lookups_free(TAKE_PTR(access->lookups));
}
