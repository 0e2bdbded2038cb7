/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's command line, and its file. */
#include "vmms/settings.h"

#include "common/base/cleanup.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/parse.h"
#include "vmms/base/settings_file.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHUTDOWN_TIMEOUT_DEFAULT       60
#define ANSWER_TIMEOUT_DEFAULT         30
#define AUTHENTICATION_TIMEOUT_DEFAULT 300
#define OPEN_TIMEOUT_DEFAULT           20 /* so that callers with D-Bus's 25 learn of it */
#define TIMEOUT_MAX                    3600
#define MOVES_DEFAULT                  2 /* as Hyper-V's */
#define MOVES_MAX                      1000
#define MIGRATION_PORTS_DEFAULT \
	{                       \
		6600, 6631      \
	} /* the first is Hyper-V's */

#ifndef VMMS_WORKER
#define VMMS_WORKER "/usr/libexec/vmms/vmwp"
#endif
#ifndef VMMS_CARRIER
#define VMMS_CARRIER "/usr/libexec/vmms/move-carrier"
#endif
#ifndef VMMS_IMAGE_GUARD
#define VMMS_IMAGE_GUARD "/usr/libexec/vmms/image-guard.so"
#endif

#ifndef VMMS_SCREEN
#define VMMS_SCREEN "/usr/libexec/vmms/vmms-screen"
#endif

static const char usage[] =
	"usage: vmms [OPTION]...\n"
	"\n"
	"Manages virtual machines, and serves org.vmms1 on a message bus. vmms(8) says more.\n"
	"\n"
	"  --system               on the system bus; the default\n"
	"  --user                 on the bus of the user\n"
	"  --address ADDRESS      on the bus at that address\n"
	"  --state-dir PATH       definitions are in PATH/vms (default: /var/lib/vmms; for users\n"
	"                         ~/.local/state/vmms)\n"
	"  --runtime-dir PATH     working directory of workers (default: /run/vmms; for users\n"
	"                         $XDG_RUNTIME_DIR/vmms)\n"
	"  --saved-dir PATH       memory and devices of saved VMs are there; with much room\n"
	"                         (default: saved in --state-dir)\n"
	"  --worker PATH          the program that runs a VM (default: vmwp, beside vmms or\n"
	"                         installed)\n"
	"  --hypervisor PATH      default: /dev/kvm\n"
	"  --passt PATH           the program for user-mode networks (default: /usr/bin/passt)\n"
	"  --image-server PATH    the program for disk images of qcow2 and VMDK (default:\n"
	"                         /usr/bin/qemu-storage-daemon)\n"
	"  --apparmor MODE        whether the processes of VMs are confined by AppArmor: auto,\n"
	"                         where it can be had (the default); require, or VMs do not\n"
	"                         start; off\n"
	"  --apparmor-parser PATH the program that loads profiles (default:\n"
	"                         /usr/sbin/apparmor_parser)\n"
	"  --worker-users FIRST-LAST\n"
	"                         numbers of the users that workers become, one each; none: they\n"
	"                         stay the user that vmms is (default: 2147287040-2147352575 for\n"
	"                         root, else none)\n"
	"  --group NAME           whose members may have VMs of their own, where root runs vmms\n"
	"                         (default: vmms)\n"
	"  --units MODE           whether workers are put into units of systemd: auto, which is on "
	"the\n"
	"                         system bus and where systemd runs; always; never (default: "
	"auto)\n"
	"  --shutdown-timeout N   seconds that guests get to shut down when all are stopped; 0: "
	"they\n"
	"                         are turned off at once (default: 60)\n"
	"  --answer-timeout N     seconds that a worker gets to answer (default: 30)\n"
	"  --authentication-timeout N\n"
	"                         seconds that a person gets whom polkit asks for a password\n"
	"                         (default: 300)\n"
	"  --open-timeout N       seconds that kernels and disk images get to be opened; 0: for "
	"ever\n"
	"                         (default: 20)\n"
	"  --moves N              VMs that are moved to other hosts at a time; others wait "
	"(default:\n"
	"                         2)\n"
	"  --migration-address ADDRESS\n"
	"                         where VMs that come from other hosts are waited for, as an IP\n"
	"                         address (default: the one that the other side has reached this\n"
	"                         host by)\n"
	"  --migration-ports FIRST-LAST\n"
	"                         TCP ports of which each such VM takes one while it is waited\n"
	"                         for; none: they come by ssh alone (default: 6600-6631)\n"
	"  --keep-guests          after SIGTERM guests run on, and the next vmms finds them again\n"
	"  --metrics-port PORT    metrics on that port of the loopback interface, too, where "
	"every\n"
	"                         user of the host may read them\n"
	"  --user-vms N, --user-disks N, --user-running N, --user-processors N, --user-memory "
	"SIZE,\n"
	"  --user-saved SIZE, --user-tasks N\n"
	"                         what the VMs of one user, who is not root, may take together; "
	"none:\n"
	"                         as much as there is (default: 100 VMs, 256 disks, 4 processors\n"
	"                         for each CPU, 3/4 of the memory, saved VMs with as much memory "
	"as\n"
	"                         the host has, 8192 processes and threads)\n"
	"  --config PATH          a file with more of these, vmms.conf(5) (default:\n"
	"                         /etc/vmms/vmms.conf; for users ~/.config/vmms/vmms.conf)\n"
	"  --debug                log more\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 after SIGTERM or SIGINT, 1 after a failure, 2 for wrong usage.\n";

/* ---- Defaults ---- */

static int settings_path_set(char path[PATH_MAX], const char *directory, const char *rest)
{
	return snprintf(path, PATH_MAX, "%s%s", directory, rest) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Beside us, as in a build directory; else where it is installed. */
static int settings_find_part(char path[PATH_MAX], const char *name, const char *installed)
{
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - strlen(name) - 1);
	char *slash;

	if (size > 0) {
		path[size] = '\0';
		slash = strrchr(path, '/');
		strcpy(slash + 1, name);
		if (access(path, R_OK) == 0)
			return 0;
	}
	return settings_path_set(path, installed, "");
}

static int settings_state_default(char path[PATH_MAX])
{
	if (geteuid() == 0)
		return settings_path_set(path, "/var/lib/vmms", "");
	if (getenv("XDG_STATE_HOME"))
		return settings_path_set(path, getenv("XDG_STATE_HOME"), "/vmms");
	return getenv("HOME") ? settings_path_set(path, getenv("HOME"), "/.local/state/vmms")
			      : -ENOENT;
}

static int settings_runtime_default(char path[PATH_MAX])
{
	if (geteuid() == 0)
		return settings_path_set(path, "/run/vmms", "");
	return getenv("XDG_RUNTIME_DIR")
		       ? settings_path_set(path, getenv("XDG_RUNTIME_DIR"), "/vmms")
		       : -ENOENT;
}

/* Paths that no option has set. */
static int settings_fill_defaults(struct settings *settings)
{
	int r = 0;

	if (settings->state_directory[0] == '\0')
		r = settings_state_default(settings->state_directory);
	if (r == 0 && settings->runtime_directory[0] == '\0')
		r = settings_runtime_default(settings->runtime_directory);
	if (r == 0 && settings->worker[0] == '\0')
		r = settings_find_part(settings->worker, "vmwp", VMMS_WORKER);
	if (r == 0)
		r = settings_find_part(settings->image_guard, "image-guard.so", VMMS_IMAGE_GUARD);
	if (r == 0)
		r = settings_find_part(settings->carrier, "move-carrier", VMMS_CARRIER);
	if (r == 0)
		r = settings_find_part(settings->screen, "vmms-screen", VMMS_SCREEN);
	settings->manager.state_directory = settings->state_directory;
	settings->manager.runtime_directory = settings->runtime_directory;
	settings->manager.saved_directory = settings->saved_directory;
	settings->manager.worker = settings->worker;
	settings->manager.image_guard = settings->image_guard;
	settings->manager.carrier = settings->carrier;
	settings->manager.screen = settings->screen;
	return r;
}

/* ---- Values ---- */

struct setting;

/* Return: 0; -EINVAL: not a value of this row; SETTINGS_E_DONE; -errno. */
typedef int (*setting_fn)(struct settings *settings, const struct setting *row, const char *text);

struct setting {
	const char *name;
	setting_fn read;
	bool has_value;            /* else text is NULL on the command line, and yes in the file */
	bool is_for_command_line;  /* of which a file says nothing: which bus, what ends at once */
	size_t offset;             /* of what is set, for those functions that set any */
	unsigned minimum, maximum; /* of setting_read_number() */
	enum quota_kind kind;      /* of setting_read_quota() */
	const char *expected;      /* what it must be; NULL: a number from minimum to maximum */
};

static void *setting_target(struct settings *settings, const struct setting *row)
{
	return (char *)settings + row->offset;
}

/* A char[PATH_MAX]. */
static int setting_read_path(struct settings *settings, const struct setting *row, const char *text)
{
	return settings_path_set(setting_target(settings, row), text, "");
}

/* A const char *, which is borrowed. */
static int setting_read_text(struct settings *settings, const struct setting *row, const char *text)
{
	*(const char **)setting_target(settings, row) = text;
	return 0;
}

/* An unsigned. */
static int setting_read_number(struct settings *settings, const struct setting *row,
			       const char *text)
{
	uint64_t number;

	if (parse_unsigned(text, row->minimum, row->maximum, &number) < 0)
		return -EINVAL;
	*(unsigned *)setting_target(settings, row) = (unsigned)number;
	return 0;
}

static int setting_read_quota(struct settings *settings, const struct setting *row,
			      const char *text)
{
	return quota_parse(row->kind, text, &settings->manager.quota.limits[row->kind]);
}

static int setting_read_users(struct settings *settings, const struct setting *row,
			      const char *text)
{
	return worker_users_parse(text, &settings->manager.users);
}

static int setting_read_units(struct settings *settings, const struct setting *row,
			      const char *text)
{
	static const char *const modes[] = {
		[UNITS_AUTO] = "auto", [UNITS_ALWAYS] = "always", [UNITS_NEVER] = "never"
	};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(modes[i], text) == 0) {
			settings->units = (enum units_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int setting_read_apparmor(struct settings *settings, const struct setting *row,
				 const char *text)
{
	return apparmor_mode_parse(text, &settings->manager.apparmor);
}

static int setting_read_migration_address(struct settings *settings, const struct setting *row,
					  const char *text)
{
	settings->manager.migration_address = text;
	return carrier_address_check(text);
}

static int setting_read_migration_ports(struct settings *settings, const struct setting *row,
					const char *text)
{
	return carrier_ports_parse(text, &settings->manager.migration_ports);
}

static int setting_read_system(struct settings *settings, const struct setting *row,
			       const char *text)
{
	settings->bus.scope = DBUS_SYSTEM;
	return 0;
}

static int setting_read_user(struct settings *settings, const struct setting *row, const char *text)
{
	settings->bus.scope = DBUS_USER;
	return 0;
}

static int setting_read_address(struct settings *settings, const struct setting *row,
				const char *text)
{
	settings->bus.scope = DBUS_ADDRESS;
	settings->bus.address = text;
	return 0;
}

static int setting_read_keep_guests(struct settings *settings, const struct setting *row,
				    const char *text)
{
	settings->keep_guests = true;
	return 0;
}

/* It was read before anything else. */
static int setting_read_config(struct settings *settings, const struct setting *row,
			       const char *text)
{
	return 0;
}

static int setting_read_debug(struct settings *settings, const struct setting *row,
			      const char *text)
{
	log_set_level(LOG_LEVEL_DEBUG);
	return 0;
}

static int setting_read_help(struct settings *settings, const struct setting *row, const char *text)
{
	fputs(usage, stdout);
	return SETTINGS_E_DONE;
}

static int setting_read_version(struct settings *settings, const struct setting *row,
				const char *text)
{
	printf("vmms %s\n", VMMS_VERSION);
	return SETTINGS_E_DONE;
}

/* ---- The table ---- */

/* What is at a member of struct settings. */
#define PATH(member) \
	.read = setting_read_path, .has_value = true, .offset = offsetof(struct settings, member)
#define TEXT(member) \
	.read = setting_read_text, .has_value = true, .offset = offsetof(struct settings, member)
#define NUMBER(member, from, to)                        \
	.read = setting_read_number, .has_value = true, \
	.offset = offsetof(struct settings, member), .minimum = (from), .maximum = (to)
#define QUOTA(which, form) \
	.read = setting_read_quota, .has_value = true, .kind = (which), .expected = form ", or none"

static const struct setting rows[] = {
	{ "system", .read = setting_read_system, .is_for_command_line = true },
	{ "user", .read = setting_read_user, .is_for_command_line = true },
	{ "address", .read = setting_read_address, .has_value = true, .is_for_command_line = true },
	{ "state-dir", PATH(state_directory) },
	{ "runtime-dir", PATH(runtime_directory) },
	{ "saved-dir", PATH(saved_directory) },
	{ "worker", PATH(worker) },
	{ "hypervisor", TEXT(manager.hypervisor) },
	{ "passt", TEXT(manager.passt) },
	{ "image-server", TEXT(manager.image_server) },
	{ "apparmor", .read = setting_read_apparmor, .has_value = true,
	  .expected = "auto, require or off" },
	{ "apparmor-parser", TEXT(manager.apparmor_parser) },
	{ "worker-users", .read = setting_read_users, .has_value = true,
	  .expected = "a range of numbers above 0, as 70000-79999, or none" },
	{ "units", .read = setting_read_units, .has_value = true,
	  .expected = "auto, always or never" },
	{ "group", TEXT(bus.group) },
	{ "shutdown-timeout", NUMBER(manager.shutdown_timeout, 0, TIMEOUT_MAX) },
	{ "answer-timeout", NUMBER(manager.answer_timeout, 0, TIMEOUT_MAX) },
	{ "authentication-timeout", NUMBER(bus.authentication_timeout, 1, TIMEOUT_MAX) },
	{ "open-timeout", NUMBER(manager.open_timeout, 0, TIMEOUT_MAX) },
	{ "moves", NUMBER(manager.moves, 1, MOVES_MAX) },
	{ "migration-address", .read = setting_read_migration_address, .has_value = true,
	  .expected = "an IPv4 or IPv6 address" },
	{ "migration-ports", .read = setting_read_migration_ports, .has_value = true,
	  .expected = "a port, a range of them, as 6600-6631, or none" },
	{ "keep-guests", .read = setting_read_keep_guests },
	{ "metrics-port", NUMBER(metrics_port, 1, UINT16_MAX) },
	{ "user-vms", QUOTA(QUOTA_VMS, "a number above 0") },
	{ "user-disks", QUOTA(QUOTA_DISKS, "a number above 0") },
	{ "user-running", QUOTA(QUOTA_RUNNING, "a number above 0") },
	{ "user-processors", QUOTA(QUOTA_PROCESSORS, "a number above 0") },
	{ "user-memory", QUOTA(QUOTA_MEMORY, "a size, as 16G") },
	{ "user-saved", QUOTA(QUOTA_SAVED, "a size, as 16G") },
	{ "user-tasks", QUOTA(QUOTA_TASKS, "a number above 0") },
	{ "config", .read = setting_read_config, .has_value = true, .is_for_command_line = true },
	{ "debug", .read = setting_read_debug },
	{ "help", .read = setting_read_help, .is_for_command_line = true },
	{ "version", .read = setting_read_version, .is_for_command_line = true },
};

#define FIRST_ROW 256 /* above the characters that getopt_long() returns */

/*
 * The table as getopt_long() wants it. Each row has a number of its own: of those that have the
 * same, getopt_long() would take one where an abbreviation is ambiguous.
 */
static void settings_make_options(struct option options[static ARRAY_SIZE(rows) + 1])
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		options[i] = (struct option){ .name = rows[i].name,
					      .has_arg = rows[i].has_value,
					      .val = FIRST_ROW + (int)i };
	options[ARRAY_SIZE(rows)] = (struct option){ 0 };
}

/* What getopt_long() has found; NULL: no option of ours. */
static const struct setting *settings_found_option(int option)
{
	return option >= FIRST_ROW ? &rows[option - FIRST_ROW] : NULL;
}

static int settings_set(struct settings *settings, const struct setting *row, const char *text)
{
	int r = row->read(settings, row, text);

	if (r != -EINVAL)
		return r;
	fprintf(stderr, "vmms: --%s must be ", row->name);
	if (row->expected)
		fprintf(stderr, "%s\n", row->expected);
	else
		fprintf(stderr, "a number from %u to %u\n", row->minimum, row->maximum);
	return SETTINGS_E_USAGE;
}

/* Only root may become somebody else. */
static struct worker_users settings_default_users(void)
{
	return geteuid() == 0 ? (struct worker_users){ WORKER_USERS_FIRST, WORKER_USERS_LAST,
						       WORKER_USERS_FIRST }
			      : (struct worker_users){ 0 };
}

/* ---- The file ---- */

static const struct setting *settings_find_in_file(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].name, name) == 0 && !rows[i].is_for_command_line)
			return &rows[i];
	}
	return NULL;
}

static int settings_set_from_file(struct settings *settings, const struct setting *row,
				  const char *value)
{
	if (!row->has_value && strcmp(value, "no") == 0)
		return 0;
	if (!row->has_value && strcmp(value, "yes") != 0) {
		fprintf(stderr, "vmms: %s must be yes or no\n", row->name);
		return SETTINGS_E_USAGE;
	}
	return settings_set(settings, row, value);
}

static int settings_found_setting(void *data, const char *name, const char *value, unsigned line)
{
	const struct setting *row = settings_find_in_file(name);
	struct settings *settings = data;
	int r;

	if (!row) {
		fprintf(stderr, "vmms: there is no setting '%s'; vmms.conf(5) has all\n", name);
		r = SETTINGS_E_USAGE;
	} else {
		r = settings_set_from_file(settings, row, value);
	}
	if (r == SETTINGS_E_USAGE)
		fprintf(stderr, "vmms: (in %s, line %u)\n", settings->file, line);
	return r;
}

static int settings_read_text(struct settings *settings, size_t *ret_size)
{
	int r = file_read(settings->file, SETTINGS_FILE_MAX, &settings->file_text, ret_size);

	return r == 0 && *ret_size > SETTINGS_FILE_MAX ? -EFBIG : r;
}

static int settings_read_file(struct settings *settings, bool required)
{
	unsigned line;
	size_t size;
	int r;

	r = settings_read_text(settings, &size);
	/* A home that is another's, as su(1) leaves it, is none. */
	if (!required && (r == -ENOENT || r == -ENOTDIR || (r == -EACCES && geteuid() != 0)))
		return 0;
	if (r < 0) {
		fprintf(stderr, "vmms: cannot read %s: %s\n", settings->file, strerror(-r));
		return SETTINGS_E_USAGE;
	}
	r = settings_file_parse(settings->file_text, size, settings_found_setting, settings, &line);
	if (r == -EINVAL) {
		fprintf(stderr, "vmms: %s, line %u: not of the form 'name = value'\n",
			settings->file, line);
		return SETTINGS_E_USAGE;
	}
	return r;
}

static int settings_file_default(char path[PATH_MAX])
{
	if (geteuid() == 0)
		return settings_path_set(path, "/etc/vmms/vmms.conf", "");
	if (getenv("XDG_CONFIG_HOME"))
		return settings_path_set(path, getenv("XDG_CONFIG_HOME"), "/vmms/vmms.conf");
	return getenv("HOME") ? settings_path_set(path, getenv("HOME"), "/.config/vmms/vmms.conf")
			      : 0;
}

/* The command line says where it is, and is read itself when that has been. */
static int settings_find_and_read_file(int argc, char *argv[], const struct option *options,
				       struct settings *settings)
{
	const char *named = NULL;
	int option, r;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		const struct setting *row = settings_found_option(option);

		if (!row)
			continue; /* refused when all is read */
		if (row->read == setting_read_help || row->read == setting_read_version)
			return 0;
		if (row->read == setting_read_config)
			named = optarg;
	}
	r = named ? settings_path_set(settings->file, named, "")
		  : settings_file_default(settings->file);
	return r < 0 || settings->file[0] == '\0' ? r : settings_read_file(settings, named);
}

static int settings_read_command_line(int argc, char *argv[], const struct option *options,
				      struct settings *settings)
{
	int option, r = 0;

	opterr = 1;
	optind = 0; /* from the beginning */
	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		const struct setting *row = settings_found_option(option);

		if (row) {
			r = settings_set(settings, row, optarg);
		} else {
			fputs("vmms: 'vmms --help' lists the options\n", stderr);
			r = SETTINGS_E_USAGE;
		}
	}
	if (r == 0 && optind < argc) {
		fprintf(stderr, "vmms: what is '%s'? 'vmms --help' lists the options\n",
			argv[optind]);
		r = SETTINGS_E_USAGE;
	}
	return r;
}

int settings_read(int argc, char *argv[], struct settings *settings)
{
	struct option options[ARRAY_SIZE(rows) + 1];
	int r;

	*settings = (struct settings){ .bus = { .scope = DBUS_SYSTEM,
						.group = "vmms",
						.authentication_timeout =
							AUTHENTICATION_TIMEOUT_DEFAULT },
				       .manager = { .hypervisor = "/dev/kvm",
						    .passt = "/usr/bin/passt",
						    .image_server = "/usr/bin/qemu-storage-daemon",
						    .apparmor = APPARMOR_AUTO,
						    .apparmor_parser = "/usr/sbin/apparmor_parser",
						    .users = settings_default_users(),
						    .open_timeout = OPEN_TIMEOUT_DEFAULT,
						    .shutdown_timeout = SHUTDOWN_TIMEOUT_DEFAULT,
						    .answer_timeout = ANSWER_TIMEOUT_DEFAULT,
						    .moves = MOVES_DEFAULT,
						    .migration_ports = MIGRATION_PORTS_DEFAULT } };
	quota_set_defaults(&settings->manager.quota);
	settings_make_options(options);
	r = settings_find_and_read_file(argc, argv, options, settings);
	if (r == 0)
		r = settings_read_command_line(argc, argv, options, settings);
	return r == 0 ? settings_fill_defaults(settings) : r;
}
