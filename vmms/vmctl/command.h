/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The commands of vmctl, of which parsing, help and completion are made.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/vmctl/remote_host.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/* Exit statuses; vmctl(1) documents them. */
enum status {
	STATUS_OK,
	STATUS_FAILED,        /* the service could not do it */
	STATUS_USAGE,         /* wrong usage, or an argument that makes no sense */
	STATUS_NO_SUCH_VM,    /* there is no such VM, disk, switch, … */
	STATUS_WRONG_STATE,   /* the VM cannot do that now */
	STATUS_NO_SERVICE,    /* vmms cannot be reached */
	STATUS_NOT_PERMITTED, /* the caller may not */
	STATUS_TIMEOUT,       /* it was not done in time */
};

/* What an argument or the value of an option is, for completion. */
enum value_kind {
	VALUE_NONE,
	VALUE_TEXT,
	VALUE_VM,
	VALUE_SWITCH,
	VALUE_CPU_GROUP,
	VALUE_FILE,
	VALUE_HOST,
	/* One of the words that the option's value is, with | between them, or of those that the
	 * usage of the command begins with; of the first argument alone. */
	VALUE_CHOICE,
};

struct option_row {
	const char *name;  /* without the dashes; NULL closes a list */
	const char *value; /* what its value is called in the help; NULL: it takes none */
	enum value_kind kind;
	const char *help;
};

#define COMMAND_OPTIONS_MAX 600
#define COMMAND_NAME_MAX    64 /* bytes */

/* A call of a command: what the user gave. */
struct invocation {
	const struct command *command;
	const char *group;      /* the first word of a command of two, such as "switch" */
	const char **arguments; /* as many as the user gave */
	size_t argument_count;
	struct {
		const struct option_row *row;
		const char *value; /* NULL: it takes none */
	} options[COMMAND_OPTIONS_MAX];
	size_t option_count;
	bool json;    /* --json */
	sd_bus *bus;  /* of commands that need it */
	bool may_ask; /* the user for a password */
	pid_t agent;  /* that does so (vmms/vmctl/agent.h); 0: not begun */
	struct remote_host host;
	pid_t stream; /* ssh, for a stream of another host (vmms/vmctl/remote.h); 0: none */
};

/* How a command is about another host than this (--host). */
enum remote_way {
	REMOTE_NOT,    /* it is about no host */
	REMOTE_BUS,    /* by calls of vmms there, with no descriptors, and by streams */
	REMOTE_STREAM, /* by a stream alone, without the bus */
	REMOTE_THERE,  /* vmctl is run there: it uses descriptors, or looks at that host */
};

struct command {
	const char *name;  /* one word, or two: "list", "switch add" */
	const char *usage; /* its arguments, as the help shows them */
	size_t arguments_min, arguments_max;
	enum value_kind argument_kinds[2]; /* of the first, and of the others */
	const char *summary;               /* one line */
	const char *details;               /* more lines; NULL: none */
	const struct option_row *options;  /* NULL: none but the global ones */
	bool needs_bus;
	enum remote_way remote;
	enum status (*run)(struct invocation *invocation);
};

/*
 * The commands one after another: the one after this, or the first after NULL; NULL after the last.
 */
const struct command *command_next(const struct command *command);

#define command_for_each(row) \
	for (const struct command *row = command_next(NULL); row; row = command_next(row))

/* The options that come with every command. */
extern const struct option_row global_options[];

/* By which an option is called, too, as -h is --help; 0: none. */
char option_letter(const struct option_row *row);

const struct command *command_find(const char *name);

/* There are commands of two words of which this is the first. */
bool command_is_group(const char *word);

/* The value of an option, or NULL if it was not given; the last one counts. */
const char *invocation_value(const struct invocation *invocation, const char *option);
bool invocation_has(const struct invocation *invocation, const char *option);

/* Whether an option was given that is the command's own, not one that all have. */
bool invocation_has_any(const struct invocation *invocation);

/*
 * The value of an option that is a number. Without the option *ret_number stays. Return: false if
 * it is none, which has been said then.
 */
bool invocation_number(const struct invocation *invocation, const char *option, unsigned maximum,
		       unsigned *ret_number);

/* Says on standard error what is wrong, escaped. Return: STATUS_USAGE. */
enum status usage_error(const struct invocation *invocation, const char *format, ...)
	PRINTF_LIKE(2, 3);

void command_print_help(const struct command *command);
void command_print_group(const char *group);
void command_print_overview(void);

/* Their own files. */
enum status command_create(struct invocation *invocation);
enum status command_quick_create(struct invocation *invocation);
enum status command_set(struct invocation *invocation);
enum status command_boot_order(struct invocation *invocation);
enum status command_edit(struct invocation *invocation);
enum status command_export(struct invocation *invocation);
enum status command_start(struct invocation *invocation);
enum status command_shutdown(struct invocation *invocation);
enum status command_stop(struct invocation *invocation);
enum status command_simple(struct invocation *invocation); /* reset, nmi, pause, resume */
enum status command_rename(struct invocation *invocation);
enum status command_delete(struct invocation *invocation);
enum status command_wait(struct invocation *invocation);
enum status command_events(struct invocation *invocation);
enum status command_list(struct invocation *invocation);
enum status command_show(struct invocation *invocation);
enum status command_show_cpu(struct invocation *invocation); /* show --cpu */
enum status command_top(struct invocation *invocation);
enum status command_import(struct invocation *invocation);
enum status command_inspect(struct invocation *invocation);
enum status command_log(struct invocation *invocation);
enum status command_key(struct invocation *invocation);
enum status command_type(struct invocation *invocation);
enum status command_console(struct invocation *invocation);
enum status command_view(struct invocation *invocation);
enum status command_screenshot(struct invocation *invocation);
enum status command_attach(struct invocation *invocation);
enum status command_detach(struct invocation *invocation);
enum status command_insert(struct invocation *invocation);
enum status command_eject(struct invocation *invocation);
enum status command_disk_create(struct invocation *invocation);
enum status command_disk_info(struct invocation *invocation);
enum status command_disk_check(struct invocation *invocation);
enum status command_disk_convert(struct invocation *invocation);
enum status command_disk_resize(struct invocation *invocation);
enum status command_disk_compact(struct invocation *invocation);
enum status command_disk_merge(struct invocation *invocation);
enum status command_disk_rebase(struct invocation *invocation);
enum status command_disk_map(struct invocation *invocation);
enum status command_checkpoint_create(struct invocation *invocation);
enum status command_checkpoint_list(struct invocation *invocation);
enum status command_checkpoint_show(struct invocation *invocation);
enum status command_checkpoint_apply(struct invocation *invocation);
enum status command_checkpoint_rename(struct invocation *invocation);
enum status command_checkpoint_delete(struct invocation *invocation);
enum status command_checkpoint_export(struct invocation *invocation);
enum status command_clone(struct invocation *invocation);
enum status command_firmware_show(struct invocation *invocation);
enum status command_firmware_reset(struct invocation *invocation);
enum status command_firmware_export(struct invocation *invocation);
enum status command_net_add(struct invocation *invocation);
enum status command_net_remove(struct invocation *invocation);
enum status command_net_set(struct invocation *invocation);
enum status command_net_list(struct invocation *invocation);
enum status command_net_capture(struct invocation *invocation);
enum status command_cpu_group_create(struct invocation *invocation);
enum status command_cpu_group_set(struct invocation *invocation);
enum status command_cpu_group_delete(struct invocation *invocation);
enum status command_cpu_group_list(struct invocation *invocation);
enum status command_cpu_group_show(struct invocation *invocation);
enum status command_switch_add(struct invocation *invocation);
enum status command_switch_remove(struct invocation *invocation);
enum status command_switch_set(struct invocation *invocation);
enum status command_switch_list(struct invocation *invocation);
enum status command_switch_show(struct invocation *invocation);
enum status command_meter_show(struct invocation *invocation);
enum status command_meter_change(struct invocation *invocation); /* enable, disable, reset */
enum status command_kvp(struct invocation *invocation);
enum status command_restore(struct invocation *invocation);
enum status command_backup(struct invocation *invocation);
enum status command_copy(struct invocation *invocation);
enum status command_save(struct invocation *invocation);
enum status command_cluster_add(struct invocation *invocation);
enum status command_cluster_remove(struct invocation *invocation);
enum status command_drain(struct invocation *invocation);
enum status command_undrain(struct invocation *invocation);
enum status command_migrate(struct invocation *invocation);
enum status command_receive(struct invocation *invocation);
enum status command_dump(struct invocation *invocation);
enum status command_exec(struct invocation *invocation);
enum status command_connect(struct invocation *invocation);
enum status command_ssh(struct invocation *invocation);
enum status command_job_list(struct invocation *invocation);
enum status command_job_wait(struct invocation *invocation);
enum status command_job_cancel(struct invocation *invocation);
enum status command_doctor(struct invocation *invocation);
enum status command_host(struct invocation *invocation);
enum status command_reload(struct invocation *invocation);
enum status command_version(struct invocation *invocation);
enum status command_help(struct invocation *invocation);
enum status command_completion(struct invocation *invocation);
