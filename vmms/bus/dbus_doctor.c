/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CheckHost() of org.vmms1.Manager.
 *
 * What is about VMs is looked at when the call comes, since it is of those that the caller sees,
 * their images by a process that may wait for file systems (vmms/base/helper.h); the rest when the
 * worker has measured what KVM can do.
 */
#include "common/base/log.h"
#include "vmms/base/user.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/host/host.h"

#include <errno.h>
#include <string.h>

#define IMAGES_TIMEOUT 10 /* seconds */

struct question {
	struct dbus_service *bus;
	sd_bus_message *call;
	const char *group; /* of the service's settings */
	struct host_kernel kernel;
	struct host_service service;
};

static void dbus_doctor_question_free(struct question *question)
{
	sd_bus_message_unref(question->call);
	free(question);
}

/* ---- What is about VMs ---- */

/* Images are looked at with the rights of the VM's owner, as they are opened. */
static void dbus_doctor_add_images(struct host_images *images, const struct vm *vm)
{
	const struct definition *definition = vm->definition;
	CLEANUP(user_freep) struct user *user = NULL;
	bool enter = definition->owner && geteuid() == 0;

	if (enter && (user_find_name(definition->owner, &user) < 0 || user_enter(user) < 0)) {
		images->unseen += (unsigned)definition->disk_count;
		return;
	}
	for (size_t i = 0; i < definition->disk_count; i++) {
		if (definition->disks[i].path && !definition->disks[i].read_only)
			host_images_add(images, definition->disks[i].path);
	}
	if (enter)
		user_leave();
}

static void dbus_doctor_look_at_images(int socket, void *data)
{
	const struct dbus_service *service = data;
	struct host_images images = { 0 };

	list_for_each (link, &service->manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (dbus_caller_sees(service, vm))
			dbus_doctor_add_images(&images, vm);
	}
	helper_send(socket, &images, sizeof(images), -1);
}

/* Until they have been looked at. */
static void dbus_doctor_look_at_vms(const struct dbus_service *service, struct question *question)
{
	list_for_each (link, &service->manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (!vm->run.worker && vm->definition->memory.pages == DEFINITION_PAGES_HUGETLB)
			question->kernel.hugetlb_bytes += vm->definition->memory.size;
		if (dbus_caller_sees(service, vm))
			question->service.images.unseen += (unsigned)vm->definition->disk_count;
	}
}

/* ---- The answer ---- */

static struct json_object *dbus_doctor_to_json(const struct question *question)
{
	struct json_object *checks = json_object_new_array(), *tree;

	host_checks_run(host_kernel_checks, &question->kernel, &checks);
	host_checks_run(host_service_checks, &question->service, &checks);
	tree = json_make("version", json_object_new_string(VMMS_VERSION), "checks", checks, NULL);
	if (question->service.is_root)
		json_add(&tree, "group", json_object_new_string(question->group));
	return tree;
}

static int dbus_doctor_reply(struct question *question)
{
	AUTO_JSON struct json_object *tree = dbus_doctor_to_json(question);

	return dbus_reply_json(question->call, tree);
}

static void dbus_doctor_reported(void *data, const char *text, const struct failure *failure)
{
	struct question *question = data;
	AUTO_JSON struct json_object *report = NULL;
	struct json_error error;
	int r;

	question->service.report_problem = failure ? failure->message : "out of memory";
	if (text && json_parse(text, strlen(text), &report, &error) == 0)
		question->service.report = report;
	r = dbus_doctor_reply(question);
	if (r < 0)
		log_debug("a caller cannot be answered: %s", strerror(-r));
	dbus_doctor_question_free(question);
}

static void dbus_doctor_images_told(void *owner, const void *bytes, size_t size, int fd)
{
	struct question *question = owner;

	if (size == sizeof(question->service.images))
		memcpy(&question->service.images, bytes, size);
	close_fdp(&fd);
}

static void dbus_doctor_images_looked_at(void *owner, int result)
{
	struct question *question = owner;
	int r;

	if (result == -ECANCELED) {
		dbus_doctor_question_free(question); /* the service is ending */
		return;
	}
	r = host_report_ask(question->bus->report, dbus_doctor_reported, question);
	if (r < 0) {
		(void)sd_bus_reply_method_errno(question->call, r, NULL);
		dbus_doctor_question_free(question);
	}
}

static const struct helper_callbacks images_callbacks = { .message = dbus_doctor_images_told,
							  .ended = dbus_doctor_images_looked_at };

int dbus_check_host(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	const struct manager_settings *settings = &service->manager->settings;
	const struct user_found *caller = service->access.user;
	struct question *question = calloc(1, sizeof(*question));
	const struct helper_config config = { .whose = caller ? caller->name : "",
					      .timeout = IMAGES_TIMEOUT,
					      .work = dbus_doctor_look_at_images,
					      .data = service,
					      .callbacks = &images_callbacks,
					      .owner = question };
	struct helper *helper;

	if (!question)
		return -ENOMEM;
	question->bus = service;
	question->call = sd_bus_message_ref(call);
	question->group = service->settings.group;
	question->kernel = (struct host_kernel){ .root = "",
						 .hypervisor = settings->hypervisor,
						 .is_service = true };
	question->service = (struct host_service){
		.root = "",
		.is_root = geteuid() == 0,
		.passt = settings->passt,
		.image_server = settings->image_server,
		.apparmor = settings->apparmor == APPARMOR_OFF
				    ? "the service's settings say so"
				    : apparmor_obstacle(settings->apparmor_parser),
		.apparmor_is_required = settings->apparmor == APPARMOR_REQUIRE,
		.state_directory = settings->state_directory,
		.runtime_directory = settings->runtime_directory
	};
	question->service.at_limit =
		quota_describe(service->manager, caller ? caller->name : NULL,
			       question->service.limits, sizeof(question->service.limits));
	dbus_doctor_look_at_vms(service, question);
	if (helper_new(service->manager->helpers, &config, &helper) < 0)
		dbus_doctor_images_looked_at(question, 0);
	return 1;
}
