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
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHUTDOWN_TIMEOUT_DEFAULT       60
#define ANSWER_TIMEOUT_DEFAULT         30
#define AUTHENTICATION_TIMEOUT_DEFAULT 300
#define OPEN_TIMEOUT_DEFAULT           20 /* so that callers with D-Bus's 25 learn of it */
#define TIMEOUT_MAX                    3600

#ifndef VMMS_WORKER
#define VMMS_WORKER "/usr/libexec/vmms/vmwp"
#endif
#ifndef VMMS_IMAGE_GUARD
#define VMMS_IMAGE_GUARD "/usr/libexec/vmms/image-guard.so"
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
	"  --worker PATH          the program that runs a VM (default: vmwp, beside vmms or\n"
	"                         installed)\n"
	"  --hypervisor PATH      default: /dev/kvm\n"
	"  --passt PATH           the program for user-mode networks (default: /usr/bin/passt)\n"
	"  --image-server PATH    the program for disk images that are not raw (default:\n"
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
	"  --keep-guests          after SIGTERM guests run on, and the next vmms finds them again\n"
	"  --metrics-port PORT    metrics on that port of the loopback interface, too, where "
	"every\n"
	"                         user of the host may read them\n"
	"  --user-vms N, --user-disks N, --user-running N, --user-processors N, --user-memory "
	"SIZE,\n"
	"  --user-tasks N         what the VMs of one user, who is not root, may take together; "
	"none:\n"
	"                         as much as there is (default: 100 VMs, 256 disks, 4 processors\n"
	"                         for each CPU, 3/4 of the memory, 8192 processes and threads)\n"
	"  --config PATH          a file with more of these, vmms.conf(5) (default:\n"
	"                         /etc/vmms/vmms.conf; for users ~/.config/vmms/vmms.conf)\n"
	"  --debug                log more\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 after SIGTERM or SIGINT, 1 after a failure, 2 for wrong usage.\n";

enum {
	OPTION_SYSTEM = 1,
	OPTION_USER,
	OPTION_ADDRESS,
	OPTION_STATE_DIR,
	OPTION_RUNTIME_DIR,
	OPTION_WORKER,
	OPTION_HYPERVISOR,
	OPTION_PASST,
	OPTION_IMAGE_SERVER,
	OPTION_APPARMOR,
	OPTION_APPARMOR_PARSER,
	OPTION_WORKER_USERS,
	OPTION_UNITS,
	OPTION_GROUP,
	OPTION_SHUTDOWN_TIMEOUT,
	OPTION_ANSWER_TIMEOUT,
	OPTION_AUTHENTICATION_TIMEOUT,
	OPTION_OPEN_TIMEOUT,
	OPTION_KEEP_GUESTS,
	OPTION_METRICS_PORT,
	OPTION_CONFIG,
	OPTION_QUOTA, /* and the following, one of each kind */
	OPTION_QUOTA_LAST = OPTION_QUOTA + _QUOTA_COUNT - 1,
	OPTION_DEBUG,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options[] = {
	{ "system", no_argument, NULL, OPTION_SYSTEM },
	{ "user", no_argument, NULL, OPTION_USER },
	{ "address", required_argument, NULL, OPTION_ADDRESS },
	{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },
	{ "runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR },
	{ "worker", required_argument, NULL, OPTION_WORKER },
	{ "hypervisor", required_argument, NULL, OPTION_HYPERVISOR },
	{ "passt", required_argument, NULL, OPTION_PASST },
	{ "image-server", required_argument, NULL, OPTION_IMAGE_SERVER },
	{ "apparmor", required_argument, NULL, OPTION_APPARMOR },
	{ "apparmor-parser", required_argument, NULL, OPTION_APPARMOR_PARSER },
	{ "worker-users", required_argument, NULL, OPTION_WORKER_USERS },
	{ "units", required_argument, NULL, OPTION_UNITS },
	{ "group", required_argument, NULL, OPTION_GROUP },
	{ "shutdown-timeout", required_argument, NULL, OPTION_SHUTDOWN_TIMEOUT },
	{ "answer-timeout", required_argument, NULL, OPTION_ANSWER_TIMEOUT },
	{ "authentication-timeout", required_argument, NULL, OPTION_AUTHENTICATION_TIMEOUT },
	{ "open-timeout", required_argument, NULL, OPTION_OPEN_TIMEOUT },
	{ "keep-guests", no_argument, NULL, OPTION_KEEP_GUESTS },
	{ "metrics-port", required_argument, NULL, OPTION_METRICS_PORT },
	{ "user-vms", required_argument, NULL, OPTION_QUOTA + QUOTA_VMS },
	{ "user-disks", required_argument, NULL, OPTION_QUOTA + QUOTA_DISKS },
	{ "user-running", required_argument, NULL, OPTION_QUOTA + QUOTA_RUNNING },
	{ "user-processors", required_argument, NULL, OPTION_QUOTA + QUOTA_PROCESSORS },
	{ "user-memory", required_argument, NULL, OPTION_QUOTA + QUOTA_MEMORY },
	{ "user-tasks", required_argument, NULL, OPTION_QUOTA + QUOTA_TASKS },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "debug", no_argument, NULL, OPTION_DEBUG },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ 0 },
};

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
	settings->manager.state_directory = settings->state_directory;
	settings->manager.runtime_directory = settings->runtime_directory;
	settings->manager.worker = settings->worker;
	settings->manager.image_guard = settings->image_guard;
	return r;
}

/* ---- Options ---- */

static int settings_read_timeout(const char *option, const char *text, unsigned minimum,
				 unsigned *ret_timeout)
{
	uint64_t seconds;

	if (parse_unsigned(text, minimum, TIMEOUT_MAX, &seconds) < 0) {
		fprintf(stderr, "vmms: %s must be a number from %u to %d\n", option, minimum,
			TIMEOUT_MAX);
		return SETTINGS_E_USAGE;
	}
	*ret_timeout = (unsigned)seconds;
	return 0;
}

static int settings_read_port(const char *text, unsigned *ret_port)
{
	uint64_t port;

	if (parse_unsigned(text, 1, UINT16_MAX, &port) < 0) {
		fputs("vmms: --metrics-port must be a number from 1 to 65535\n", stderr);
		return SETTINGS_E_USAGE;
	}
	*ret_port = (unsigned)port;
	return 0;
}

static int settings_read_users(const char *text, struct worker_users *ret_users)
{
	if (worker_users_parse(text, ret_users) == 0)
		return 0;
	fputs("vmms: --worker-users must be a range of numbers above 0, as 70000-79999, or none\n",
	      stderr);
	return SETTINGS_E_USAGE;
}

static int settings_read_units(const char *text, enum units_mode *ret_mode)
{
	static const char *const modes[] = {
		[UNITS_AUTO] = "auto", [UNITS_ALWAYS] = "always", [UNITS_NEVER] = "never"
	};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(modes[i], text) == 0) {
			*ret_mode = (enum units_mode)i;
			return 0;
		}
	}
	fputs("vmms: --units must be auto, always or never\n", stderr);
	return SETTINGS_E_USAGE;
}

static int settings_read_apparmor(const char *text, enum apparmor_mode *ret_mode)
{
	if (apparmor_mode_parse(text, ret_mode) == 0)
		return 0;
	fputs("vmms: --apparmor must be auto, require or off\n", stderr);
	return SETTINGS_E_USAGE;
}

static int settings_read_quota(struct quota *quota, enum quota_kind kind, const char *text)
{
	if (quota_parse(kind, text, &quota->limits[kind]) == 0)
		return 0;
	fprintf(stderr, "vmms: --%s must be a %s, or none\n", quota_settings[kind],
		kind == QUOTA_MEMORY ? "size, as 16G" : "number above 0");
	return SETTINGS_E_USAGE;
}

/* Only root may become somebody else. */
static struct worker_users settings_default_users(void)
{
	return geteuid() == 0 ? (struct worker_users){ WORKER_USERS_FIRST, WORKER_USERS_LAST,
						       WORKER_USERS_FIRST }
			      : (struct worker_users){ 0 };
}

static int settings_read_option(struct settings *settings, int option)
{
	if (option >= OPTION_QUOTA && option <= OPTION_QUOTA_LAST)
		return settings_read_quota(&settings->manager.quota,
					   (enum quota_kind)(option - OPTION_QUOTA), optarg);
	switch (option) {
	case OPTION_SYSTEM:
		settings->bus.scope = DBUS_SYSTEM;
		return 0;
	case OPTION_USER:
		settings->bus.scope = DBUS_USER;
		return 0;
	case OPTION_ADDRESS:
		settings->bus.scope = DBUS_ADDRESS;
		settings->bus.address = optarg;
		return 0;
	case OPTION_STATE_DIR:
		return settings_path_set(settings->state_directory, optarg, "");
	case OPTION_RUNTIME_DIR:
		return settings_path_set(settings->runtime_directory, optarg, "");
	case OPTION_WORKER:
		return settings_path_set(settings->worker, optarg, "");
	case OPTION_HYPERVISOR:
		settings->manager.hypervisor = optarg;
		return 0;
	case OPTION_PASST:
		settings->manager.passt = optarg;
		return 0;
	case OPTION_IMAGE_SERVER:
		settings->manager.image_server = optarg;
		return 0;
	case OPTION_APPARMOR:
		return settings_read_apparmor(optarg, &settings->manager.apparmor);
	case OPTION_APPARMOR_PARSER:
		settings->manager.apparmor_parser = optarg;
		return 0;
	case OPTION_WORKER_USERS:
		return settings_read_users(optarg, &settings->manager.users);
	case OPTION_UNITS:
		return settings_read_units(optarg, &settings->units);
	case OPTION_GROUP:
		settings->bus.group = optarg;
		return 0;
	case OPTION_SHUTDOWN_TIMEOUT:
		return settings_read_timeout("--shutdown-timeout", optarg, 0,
					     &settings->manager.shutdown_timeout);
	case OPTION_ANSWER_TIMEOUT:
		return settings_read_timeout("--answer-timeout", optarg, 0,
					     &settings->manager.answer_timeout);
	case OPTION_AUTHENTICATION_TIMEOUT:
		return settings_read_timeout("--authentication-timeout", optarg, 1,
					     &settings->bus.authentication_timeout);
	case OPTION_OPEN_TIMEOUT:
		return settings_read_timeout("--open-timeout", optarg, 0,
					     &settings->manager.open_timeout);
	case OPTION_KEEP_GUESTS:
		settings->keep_guests = true;
		return 0;
	case OPTION_METRICS_PORT:
		return settings_read_port(optarg, &settings->metrics_port);
	case OPTION_CONFIG:
		return 0; /* read already */
	case OPTION_DEBUG:
		log_set_level(LOG_LEVEL_DEBUG);
		return 0;
	case OPTION_HELP:
		fputs(usage, stdout);
		return SETTINGS_E_DONE;
	case OPTION_VERSION:
		printf("vmms %s\n", VMMS_VERSION);
		return SETTINGS_E_DONE;
	default:
		fputs("vmms: 'vmms --help' lists the options\n", stderr);
		return SETTINGS_E_USAGE;
	}
}

/* ---- The file ---- */

/* Of these a file says nothing: which bus it is, and what ends at once. */
static bool settings_is_for_command_line(int option)
{
	return option == OPTION_SYSTEM || option == OPTION_USER || option == OPTION_ADDRESS ||
	       option == OPTION_CONFIG || option == OPTION_HELP || option == OPTION_VERSION;
}

static const struct option *settings_find_setting(const char *name)
{
	for (const struct option *row = options; row->name; row++) {
		if (strcmp(row->name, name) == 0 && !settings_is_for_command_line(row->val))
			return row;
	}
	return NULL;
}

static int settings_set(struct settings *settings, const struct option *row, const char *value)
{
	if (row->has_arg == no_argument && strcmp(value, "no") == 0)
		return 0;
	if (row->has_arg == no_argument && strcmp(value, "yes") != 0) {
		fprintf(stderr, "vmms: %s must be yes or no\n", row->name);
		return SETTINGS_E_USAGE;
	}
	optarg = (char *)value;
	return settings_read_option(settings, row->val);
}

static int settings_found_setting(void *data, const char *name, const char *value, unsigned line)
{
	struct settings *settings = data;
	const struct option *row = settings_find_setting(name);
	int r;

	if (!row) {
		fprintf(stderr, "vmms: there is no setting '%s'; vmms.conf(5) has all\n", name);
		r = SETTINGS_E_USAGE;
	} else {
		r = settings_set(settings, row, value);
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
static int settings_find_and_read_file(int argc, char *argv[], struct settings *settings)
{
	const char *named = NULL;
	int option, r;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPTION_HELP || option == OPTION_VERSION)
			return 0;
		if (option == OPTION_CONFIG)
			named = optarg;
	}
	r = named ? settings_path_set(settings->file, named, "")
		  : settings_file_default(settings->file);
	return r < 0 || settings->file[0] == '\0' ? r : settings_read_file(settings, named);
}

int settings_read(int argc, char *argv[], struct settings *settings)
{
	int option, r;

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
						    .answer_timeout = ANSWER_TIMEOUT_DEFAULT } };
	quota_set_defaults(&settings->manager.quota);
	r = settings_find_and_read_file(argc, argv, settings);
	if (r != 0)
		return r;
	opterr = 1;
	optind = 0; /* from the beginning */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = settings_read_option(settings, option);
		if (r != 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "vmms: what is '%s'? 'vmms --help' lists the options\n",
			argv[optind]);
		return SETTINGS_E_USAGE;
	}
	return settings_fill_defaults(settings);
}
