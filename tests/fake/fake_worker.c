/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker without a VM, for tests of the daemon: started and spoken to as vmwp is.
 *
 * Its guest is a line interpreter on the serial port: whoever types there makes the worker do what
 * a guest, or a broken or hostile worker, would do. Other faults have to come before there is a
 * serial port; words in the VM's boot.command_line ask for those:
 *
 *     refuse-descriptors, refuse-configure, refuse-start   an error of that method
 *     die-in-configure                                     _exit(3) with words on standard error
 *     mute-configure   never answers "configure", nor does anything after it
 *     mute-start       never answers "start"
 *     mute-stop        never answers "stop", nor ends by it
 *     no-shutdown      the guest runs no shutdown service
 *     slow-shutdown    the guest agrees to shut down, and does not
 *     no-vmbus         the guest finds no VMBus, and has no heartbeat
 *     no-services      the guest runs no services beside shutdown, and no Hyper-V sockets
 *     agent=PATH       the guest has an agent, which is that program
 *     slow-copy        a file copy ends when it is cancelled, and not before
 *     refuse-save      the VM cannot be saved, and that takes a while to turn out
 *     slow-send        a VM is sent until that is cancelled
 *     unknown-send     it is not known whether it was
 *     slow-save        it is saved when that is cancelled, and fails then
 *     die-in-hand-over it dies
 *     refuse-hand-over it cannot be handed over
 *     refuse-restore   it cannot be restored
 *     refuse-disks     "attach" and the like are refused
 *     refuse-prepare, refuse-fork
 *                      that of what a checkpoint is made by
 *     mute-prepare, mute-fork
 *                      it is not answered
 *     die-before-fork, die-after-fork
 *                      it exits before that is done, or after, without an answer
 *     slow-detach      "detach" is answered when the console is told "settled"
 *     eject-meanwhile  the guest ejects its DVDs before those are answered
 *     refuse-adapters  "attach_adapter" and the like are refused
 *     refuse-actions   "change_actions" is refused
 *     refuse-pin       "pin" is refused
 *     refuse-adopt     a daemon that comes later is refused
 *     mute-adopt       it gets no answer
 *     mute-statistics  never answers "statistics"
 *     hostile-statistics   answers it with what makes no sense
 *     hostile-used     what it leaves of what it used makes no sense
 *     mute-disks       never answers "disks"
 *     hostile-disks    answers it with what makes no sense
 *     mute-inspect     never answers "inspect"
 *     hostile-inspect  answers it with what makes no sense
 */
#include "tests/fake/fake_worker.h"
#include "tests/fake/control_send.h"
#include "tests/fake/fake_backup.h"
#include "tests/fake/fake_worker_screen.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

bool asked_for(const struct fake *fake, const char *fault)
{
	return fake->definition && strstr(fake->definition->boot.command_line, fault);
}

void say(const struct fake *fake, const char *text)
{
	if (fake->serial >= 0 && write(fake->serial, text, strlen(text)) < 0)
		perror("fake worker: serial");
}

void event(const struct fake *fake, const char *name, struct json_object *data)
{
	if (fake->control >= 0 && control_send_event(fake->control, name, data) < 0)
		perror("fake worker: event");
	json_object_put(data);
}

void state_event(struct fake *fake, const char *state, const char *reason, const char *message)
{
	fake->state = state;
	event(fake, "state",
	      json_make("state", json_object_new_string(state), "reason",
			json_object_new_string(reason), "message", json_object_new_string(message),
			NULL));
}

/* A little more than was told when "statistics" was asked for last. */
static void write_used(const struct fake *fake, char text[static 256])
{
	if (asked_for(fake, "hostile-used"))
		snprintf(text, 256,
			 "{\"boot_us\": \"now\", \"cpu_us\": -7, \"disk\": {\"reads\": [], "
			 "\"writes\": 1, \"bytes_read\": 1e300}, \"network\": 7}");
	else
		snprintf(text, 256,
			 "{\"boot_us\": 9000000000000000, \"cpu_us\": 1000000000, \"disk\": "
			 "{\"reads\": %llu}, \"network\": {\"received_bytes\": %llu}}",
			 (unsigned long long)fake->answers + 500,
			 (unsigned long long)fake->answers + 500);
}

void end(struct fake *fake, const char *reason, const char *message)
{
	char text[CONTROL_END_MAX], used[256];
	int size;

	write_used(fake, used);
	size = snprintf(text, sizeof(text),
			"{\"reason\": \"%s\", \"message\": \"left in a queue\", \"used\": %s}",
			reason, used);

	if (fake->end >= 0)
		(void)!mq_send(fake->end, text, (size_t)size, 0);
	state_event(fake, "stopped", reason, message);
	fake->stop = true;
}

/* ---- Methods: each returns NULL, or the code of an error ---- */

bool is_in(const struct fake *fake, const char *state)
{
	return strcmp(fake->state, state) == 0;
}

const char *member_or(struct control_message *message, const char *key, const char *none)
{
	struct json_object *value;

	return json_object_object_get_ex(message->body, key, &value) ? json_object_get_string(value)
								     : none;
}

const char *member(struct control_message *message, const char *key)
{
	return member_or(message, key, "");
}

static bool is_known(const char *name)
{
	static const char *const names[] = { "kvm",      "kernel",  "initrd",
					     "bios",     "uefi",    "serial",
					     "end",      "sockets", "uefi-variables",
					     "variables" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return strncmp(name, "disk:", 5) == 0 || strncmp(name, "net:", 4) == 0;
}

const char *method_descriptors(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments)
{
	struct json_object *names = arguments->names;

	for (size_t i = 0; i < message->fd_count; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));

		int fd = TAKE_FD(message->fds[i]); /* kept open: with it goes the lock of a disk */
		unsigned controller, lun;
		char more;

		if (!is_known(name)) {
			close(fd);
			return CONTROL_ERROR_INVALID;
		}
		if (sscanf(name, "disk:%u:%u%c", &controller, &lun, &more) == 2)
			set_medium(fake, controller, lun, fd);
		if (strcmp(name, "end") == 0)
			fake->end = fd;
		if (strcmp(name, "sockets") == 0)
			fake->sockets = fd;
		if (strcmp(name, "serial") == 0) {
			fake->serial = fd;
			(void)fcntl(fd, F_SETFL, 0); /* this guest may wait */
		}
		fake->descriptor_count += strcmp(name, "end") != 0 && strcmp(name, "sockets") != 0;
	}
	return NULL;
}

static const char *method_configure(struct fake *fake, struct control_message *message,
				    const struct control_arguments *arguments)
{
	struct json_error error;

	if (fake->definition)
		return CONTROL_ERROR_INVALID_STATE;
	if (definition_from_json(arguments->definition, &fake->definition, &error) < 0)
		return CONTROL_ERROR_INVALID;
	if (asked_for(fake, "die-in-configure")) {
		fputs("fake worker: first words\nfake worker: last words \x1b[31m\n", stderr);
		_exit(3);
	}
	fake->memory = fake->definition->memory.size;
	for (size_t i = 0; i < fake->definition->disk_count; i++) {
		const struct definition_disk *disk = &fake->definition->disks[i];

		fake->drives[disk->controller][disk->lun] = true;
	}
	return asked_for(fake, "refuse-configure") ? CONTROL_ERROR_NOT_CAPABLE : NULL;
}

void tell_all(struct fake *fake)
{
	if (has_dynamic_memory(fake))
		memory_event(fake);
	if (asked_for(fake, "no-vmbus"))
		return;
	event(fake, "vmbus", json_make("version", json_object_new_string("5.3"), NULL));
	event(fake, "heartbeat", json_make("status", json_object_new_string("ok"), NULL));
}

static const char *method_adopt(struct fake *fake, struct control_message *message,
				const struct control_arguments *arguments)
{
	if (asked_for(fake, "refuse-adopt"))
		return CONTROL_ERROR_FAILED;
	fake->serial = TAKE_FD(message->fds[0]);
	(void)fcntl(fake->serial, F_SETFL, 0);
	(void)dup2(message->fds[1], STDERR_FILENO);
	say(fake, "guest: adopted\r\n");
	if (is_in(fake, "paused") && asked_for(fake, "slow-save")) /* that is cancelled */
		state_event(fake, "running", "", "");
	tell_all(fake);
	return NULL;
}

static const char *method_start(struct fake *fake, struct control_message *message,
				const struct control_arguments *arguments)
{
	char text[128];

	if (asked_for(fake, "refuse-start"))
		return CONTROL_ERROR_FAILED;
	if (!is_in(fake, "off"))
		return CONTROL_ERROR_INVALID_STATE;
	snprintf(text, sizeof(text), "guest: begin, %zu descriptors\r\n", fake->descriptor_count);
	say(fake, text);
	if (arguments->setup)
		say(fake, "firmware: setup\r\n");
	if (fake->definition->boot_order.count > 0) {
		snprintf(text, sizeof(text), "firmware: %s first of %u\r\n",
			 definition_drive_names[fake->definition->boot_order.drives[0]],
			 fake->definition->boot_order.count);
		say(fake, text);
	}
	state_event(fake, "running", "", "");
	tell_all(fake);
	return NULL;
}

static const char *method_pause(struct fake *fake, struct control_message *message,
				const struct control_arguments *arguments)
{
	if (!is_in(fake, "running"))
		return CONTROL_ERROR_INVALID_STATE;
	state_event(fake, "paused", "", "");
	return NULL;
}

static const char *method_resume(struct fake *fake, struct control_message *message,
				 const struct control_arguments *arguments)
{
	if (!is_in(fake, "paused"))
		return CONTROL_ERROR_INVALID_STATE;
	fake->saved = false;
	say(fake, "guest: resumed\r\n");
	state_event(fake, "running", "", "");
	return NULL;
}

const char *method_reset(struct fake *fake, struct control_message *message,
			 const struct control_arguments *arguments)
{
	if (is_in(fake, "off"))
		return CONTROL_ERROR_INVALID_STATE;
	event(fake, "reset", json_make("reason", json_object_new_string("reset"), NULL));
	fake->state = "running";
	say(fake, "guest: reset\r\n");
	return NULL;
}

static const char *method_stop(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments)
{
	if (!asked_for(fake, "mute-stop"))
		end(fake, "stopped", "");
	return NULL;
}

/* Of actions, and of pinning. */
static bool makes_sense(struct fake *fake, const struct control_arguments *arguments)
{
	struct definition *definition = fake->definition;
	struct json_error error;

	return arguments->actions
		       ? definition_actions_from_json(arguments->actions, &definition->actions,
						      &error) == 0
		       : definition_pinning_from_json(arguments->pinning,
						      definition->processors.count,
						      &definition->resources.pinning, &error) == 0;
}

static const char *method_actions(struct fake *fake, struct control_message *message,
				  const struct control_arguments *arguments)
{
	char text[512];

	if (asked_for(fake, strcmp(message->name, "pin") == 0 ? "refuse-pin" : "refuse-actions"))
		return CONTROL_ERROR_FAILED;
	if (!makes_sense(fake, arguments))
		return CONTROL_ERROR_INVALID;
	snprintf(text, sizeof(text), "guest: %s %s\r\n", message->name,
		 json_object_to_json_string_ext(message->body, JSON_C_TO_STRING_PLAIN));
	say(fake, text);
	return NULL;
}

/* Its descriptors are kept, as those of a back end are. */
static const char *method_adapter(struct fake *fake, struct control_message *message,
				  const struct control_arguments *arguments)
{
	char text[256];

	if (asked_for(fake, "refuse-adapters"))
		return CONTROL_ERROR_FAILED;
	snprintf(text, sizeof(text), "guest: %s %s %s, %zu descriptors\r\n", message->name,
		 arguments->name ? arguments->name : "new", member_or(message, "backend", "-"),
		 message->fd_count);
	for (size_t i = 0; i < message->fd_count; i++)
		(void)TAKE_FD(message->fds[i]);
	say(fake, text);
	return NULL;
}

static const char *method_statistics(struct fake *fake, struct control_message *message,
				     const struct control_arguments *arguments)
{
	fake->answers += 1000;
	return NULL;
}

static const char *method_nothing(struct fake *fake, struct control_message *message,
				  const struct control_arguments *arguments)
{
	return NULL;
}

static const struct {
	fake_method_fn *handle;
	const char *mute; /* the fault with which it is not answered */
} methods[] = {
	[CONTROL_METHOD_descriptors] = { method_descriptors, NULL },
	[CONTROL_METHOD_configure] = { method_configure, "mute-configure" },
	[CONTROL_METHOD_adopt] = { method_adopt, "mute-adopt" },
	[CONTROL_METHOD_start] = { method_start, "mute-start" },
	[CONTROL_METHOD_pause] = { method_pause, NULL },
	[CONTROL_METHOD_resume] = { method_resume, NULL },
	[CONTROL_METHOD_reset] = { method_reset, NULL },
	[CONTROL_METHOD_nmi] = { method_nmi, NULL },
	[CONTROL_METHOD_dump] = { method_dump, "slow-dump" },
	[CONTROL_METHOD_cancel_dump] = { method_cancel_dump, NULL },
	[CONTROL_METHOD_save] = { method_save, "slow-save" },
	[CONTROL_METHOD_cancel_save] = { method_cancel_save, NULL },
	[CONTROL_METHOD_restore] = { method_restore, NULL },
	[CONTROL_METHOD_send] = { method_send, "slow-send" },
	[CONTROL_METHOD_receive] = { method_receive, NULL },
	[CONTROL_METHOD_cancel_move] = { method_cancel_move, NULL },
	[CONTROL_METHOD_hand_over] = { method_hand_over, NULL },
	[CONTROL_METHOD_take_over] = { method_take_over, NULL },
	[CONTROL_METHOD_shutdown] = { method_shutdown, NULL },
	[CONTROL_METHOD_stop] = { method_stop, "mute-stop" },
	[CONTROL_METHOD_change_actions] = { method_actions, NULL },
	[CONTROL_METHOD_pin] = { method_actions, NULL },
	[CONTROL_METHOD_set_memory] = { method_memory, NULL },
	[CONTROL_METHOD_attach] = { method_disk, NULL },
	[CONTROL_METHOD_detach] = { method_disk, "slow-detach" },
	[CONTROL_METHOD_reconnect] = { method_reconnect, NULL },
	[CONTROL_METHOD_measure] = { method_measure, NULL },
	[CONTROL_METHOD_cancel_detach] = { method_cancel_detach, NULL },
	[CONTROL_METHOD_insert] = { method_disk, NULL },
	[CONTROL_METHOD_eject] = { method_disk, NULL },
	[CONTROL_METHOD_prepare_fork] = { method_fork, "mute-prepare" },
	[CONTROL_METHOD_fork] = { method_fork, "mute-fork" },
	[CONTROL_METHOD_begin_backup] = { method_begin_backup, "mute-backup" },
	[CONTROL_METHOD_serve_backup] = { method_serve_backup, NULL },
	[CONTROL_METHOD_end_backup] = { method_end_backup, NULL },
	[CONTROL_METHOD_attach_adapter] = { method_adapter, NULL },
	[CONTROL_METHOD_detach_adapter] = { method_adapter, NULL },
	[CONTROL_METHOD_connect_adapter] = { method_adapter, NULL },
	[CONTROL_METHOD_disconnect_adapter] = { method_adapter, NULL },
	[CONTROL_METHOD_status] = { method_nothing, NULL },
	[CONTROL_METHOD_statistics] = { method_statistics, "mute-statistics" },
	[CONTROL_METHOD_disks] = { method_nothing, "mute-disks" },
	[CONTROL_METHOD_processors] = { method_nothing, "mute-processors" },
	[CONTROL_METHOD_inspect] = { method_nothing, "mute-inspect" },
	[CONTROL_METHOD_capabilities] = { method_nothing, NULL },
	[CONTROL_METHOD_list_values] = { method_value, NULL },
	[CONTROL_METHOD_get_value] = { method_value, NULL },
	[CONTROL_METHOD_set_value] = { method_value, NULL },
	[CONTROL_METHOD_delete_value] = { method_value, NULL },
	[CONTROL_METHOD_press_keys] = { method_press_keys, NULL },
	[CONTROL_METHOD_take_picture] = { method_take_picture, NULL },
	[CONTROL_METHOD_show_screen] = { method_show_screen, NULL },
	[CONTROL_METHOD_freeze] = { method_snapshot, NULL },
	[CONTROL_METHOD_thaw] = { method_snapshot, NULL },
	[CONTROL_METHOD_copy_file] = { method_copy, "slow-copy" },
	[CONTROL_METHOD_cancel_copy] = { method_cancel_copy, NULL },
	[CONTROL_METHOD_open_socket] = { method_open_socket, NULL },
	[CONTROL_METHOD_answer_socket] = { method_answer_socket, NULL },
};

_Static_assert(ARRAY_SIZE(methods) == CONTROL_METHOD_COUNT, "every method is there");

static struct json_object *make_status(const struct fake *fake)
{
	return json_make("state", json_object_new_string(fake->state), "engine",
			 json_object_new_string("user-space"), "saved",
			 json_object_new_boolean(fake->saved), NULL);
}

static struct json_object *make_adoption(const struct fake *fake)
{
	struct json_object *status = make_status(fake);

	json_add(&status, "changed", json_object_new_int64(fake->changed));
	return status;
}

static struct json_object *make_capabilities(void)
{
	return json_make("kvm", json_object_new_boolean(true), "engine",
			 json_object_new_string("user-space"), "engines", json_object_new_object(),
			 "findings", json_object_new_array(), NULL);
}

/* NULL: there is nothing to say. */
static struct json_object *make_result(struct fake *fake, enum control_method_id method,
				       const struct control_arguments *arguments)
{
	const char *part = control_part_names[arguments->part];

	switch (method) {
	case CONTROL_METHOD_adopt:
		return make_adoption(fake);
	case CONTROL_METHOD_status:
		return make_status(fake);
	case CONTROL_METHOD_capabilities:
		return make_capabilities();
	case CONTROL_METHOD_processors:
		return make_processors(asked_for(fake, "hostile-processors"));
	case CONTROL_METHOD_disks:
		return make_disks(asked_for(fake, "hostile-disks"));
	case CONTROL_METHOD_statistics:
		return asked_for(fake, "hostile-statistics") ? make_hostile_statistics()
							     : make_statistics(fake->answers);
	case CONTROL_METHOD_inspect:
		return asked_for(fake, "hostile-inspect")
			       ? make_hostile_inspection(part, arguments->first)
			       : make_inspection(arguments->part, arguments->first);
	case CONTROL_METHOD_send:
		return json_make("rounds", json_object_new_int64(1), "bytes",
				 json_object_new_int64((int64_t)fake_moved_size()), "blackout",
				 json_object_new_int64(1000), NULL);
	case CONTROL_METHOD_begin_backup:
		return json_make("disks", json_object_new_array(), NULL);
	case CONTROL_METHOD_list_values:
		return json_make("values", make_values(), "truncated",
				 json_object_new_boolean(false), NULL);
	case CONTROL_METHOD_measure:
		return json_make("size", json_object_new_int64(fake_size(fake, arguments)), NULL);
	case CONTROL_METHOD_take_picture:
		return json_make("width", json_object_new_int64(2), "height",
				 json_object_new_int64(asked_for(fake, "hostile-screen")
							       ? CONTROL_PICTURE_SIZE
							       : 1),
				 NULL);
	case CONTROL_METHOD_get_value:
		return json_make("value", json_object_new_string("blue \x1b[31m"), NULL);
	default:
		return NULL;
	}
}

static void refuse(const struct fake *fake, uint32_t id, const char *code, const char *text)
{
	int r = control_send_error(fake->control, id, code, text);

	if (r < 0)
		fprintf(stderr, "fake worker: error: %s\n", strerror(-r));
}

static void answer(struct fake *fake, uint32_t id, const struct control_method *method,
		   const struct control_arguments *arguments)
{
	AUTO_JSON struct json_object *result = make_result(fake, method->id, arguments);
	int r = control_send_reply(fake->control, id, result);

	if (r < 0)
		fprintf(stderr, "fake worker: reply: %s\n", strerror(-r));
	if (method->id == CONTROL_METHOD_adopt)
		fake->changed = 0;
}

/* Of a VM that has been saved. */
static bool is_refused(const struct fake *fake, enum control_method_id method)
{
	static const enum control_method_id allowed[] = {
		CONTROL_METHOD_adopt,      CONTROL_METHOD_resume,       CONTROL_METHOD_stop,
		CONTROL_METHOD_status,     CONTROL_METHOD_cancel_save,  CONTROL_METHOD_disks,
		CONTROL_METHOD_statistics, CONTROL_METHOD_capabilities, CONTROL_METHOD_inspect,
		CONTROL_METHOD_fork,
	};

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (allowed[i] == method)
			return false;
	return fake->saved;
}

static void call(struct fake *fake, const struct control_method *method,
		 struct control_message *message, const struct control_arguments *arguments)
{
	const char *mute = methods[method->id].mute, *error;
	char text[128];

	if (asked_for(fake, "mute-configure"))
		return;
	error = is_refused(fake, method->id) ? CONTROL_ERROR_INVALID_STATE
					     : methods[method->id].handle(fake, message, arguments);
	if (method->changes && !error)
		fake->changed = message->id;
	if (mute && asked_for(fake, mute))
		return;
	snprintf(text, sizeof(text), "the fake worker refuses %s", method->name);
	if (error)
		refuse(fake, message->id, error, text);
	else
		answer(fake, message->id, method, arguments);
}

static void handle(struct fake *fake, struct control_message *message)
{
	const struct control_method *method;
	struct control_arguments arguments;
	struct control_refusal refusal;

	if (control_request_read(message, fake->definition != NULL, &method, &arguments,
				 &refusal) != 0) {
		refuse(fake, message->id, refusal.code, refusal.text);
		return;
	}
	call(fake, method, message, &arguments);
	control_arguments_deinit(&arguments);
}

/* ---- The loop ---- */

static void read_serial(struct fake *fake)
{
	char byte;

	if (read(fake->serial, &byte, 1) != 1) {
		close(fake->serial);
		fake->serial = -1;
		return;
	}
	if (byte != '\r' && byte != '\n') {
		if (fake->line_size < sizeof(fake->line) - 1)
			fake->line[fake->line_size++] = byte;
		return;
	}
	fake->line[fake->line_size] = '\0';
	fake->line_size = 0;
	interpret(fake);
}

static volatile sig_atomic_t terminated;

static void on_term(int number)
{
	terminated = true;
}

static void read_control(struct fake *fake)
{
	struct control_message message;
	int r;

	r = control_receive(fake->control, &message);
	if (r == CONTROL_E_CLOSED && strcmp(fake->state, "off") == 0)
		_exit(0);
	if (r == CONTROL_E_CLOSED)
		close_fdp(&fake->control);
	if (r != 0)
		return;
	handle(fake, &message);
	control_message_deinit(&message);
}

static void run(struct fake *fake)
{
	while (!fake->stop) {
		struct pollfd fds[3] = { { fake->control, POLLIN, 0 },
					 { fake->serial, POLLIN, 0 },
					 { fake->control < 0 ? fake->listener : -1, POLLIN, 0 } };

		if (terminated && !asked_for(fake, "mute-stop"))
			end(fake, "stopped", "");
		else if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		else if (fds[0].revents)
			read_control(fake);
		else if (fds[1].revents)
			read_serial(fake);
		else if (fds[2].revents)
			fake->control = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
	}
}

static int print_report(void)
{
	puts("{\"kvm\": true, \"implementation\": \"fake\", \"max_vps\": 64, \"engine\": "
	     "\"user-space\", \"engines\": {\"in-kernel\": false, \"user-space\": true}, "
	     "\"kernel_mode\": {\"native\": true, \"guest_ns\": 1.5, \"host_ns\": 1.0}, "
	     "\"runs_stock_kernels\": true, \"findings\": [{\"severity\": \"info\", \"text\": "
	     "\"a fake host\", \"advice\": \"take a real one\"}]}");
	return 0;
}

int main(int argc, char *argv[])
{
	struct fake fake = { .listener = CONTROL_FD,
			     .control = -1,
			     .serial = -1,
			     .end = -1,
			     .sockets = -1,
			     .state = "off" };

	if (argc == 2 && strcmp(argv[1], "--probe") == 0)
		return print_report();
	if (argc < 3 || strcmp(argv[1], "--control-fd") != 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	/* Without SA_RESTART, to be noticed by poll(2). */
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_term }, NULL);
	run(&fake);
	definition_free(fake.definition);
	return 0;
}
