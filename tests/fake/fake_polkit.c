/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * polkit for a private bus: what callers may.
 *
 * usage: fake_polkit ADDRESS FOLDER. FOLDER/polkit has lines "UID ACTION ANSWER", where the answer
 * is yes, no, ask (yes, if a person may be asked), agent (the same, while there is a file
 * FOLDER/agent), late (yes, when something else is asked) or never; without a line it is no. What
 * was asked is appended to FOLDER/polkit-asked: "UID ACTION VM", and of what is cancelled
 * "0 cancelled -".
 */
#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static const char *folder;
static sd_bus_message *late; /* NULL: none */

static uid_t sender_uid(sd_bus *bus, const char *sender)
{
	CLEANUP(sd_bus_creds_unrefp) sd_bus_creds *credentials = NULL;
	uid_t uid = (uid_t)-1;

	if (sd_bus_get_name_creds(bus, sender, SD_BUS_CREDS_EUID, &credentials) >= 0)
		(void)sd_bus_creds_get_euid(credentials, &uid);
	return uid;
}

static void find_answer(unsigned uid, const char *action, char answer[static 16])
{
	char path[4096], of[64];
	unsigned who;
	FILE *file;

	strcpy(answer, "no");
	snprintf(path, sizeof(path), "%s/polkit", folder);
	file = fopen(path, "re");
	while (file && fscanf(file, "%u %63s %15s", &who, of, answer) == 3) {
		if (who == uid && strcmp(of, action) == 0)
			break;
		strcpy(answer, "no");
	}
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "%s/agent", folder);
	if (strcmp(answer, "agent") == 0)
		strcpy(answer, access(path, F_OK) == 0 ? "ask" : "challenge");
}

static void note(unsigned uid, const char *action, const char *vm)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/polkit-asked", folder);
	file = fopen(path, "ae");
	if (!file)
		return;
	fprintf(file, "%u %s %s\n", uid, action, vm);
	fclose(file);
}

static int reply(sd_bus_message *call, const char *answer)
{
	return sd_bus_reply_method_return(
		call, "(bba{ss})", strcmp(answer, "yes") == 0,
		strcmp(answer, "ask") == 0 || strcmp(answer, "challenge") == 0, 0);
}

static int check_authorisation(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *kind, *key, *sender, *action, *name, *vm = "-";
	char answer[16];
	uint32_t flags;
	unsigned uid;
	int r;

	r = sd_bus_message_read(call, "(sa{sv})s", &kind, 1, &key, "s", &sender, &action);
	if (r >= 0)
		r = sd_bus_message_enter_container(call, 'a', "{ss}");
	while (r >= 0 && (r = sd_bus_message_read(call, "{ss}", &name, &vm)) > 0)
		;
	if (r >= 0)
		r = sd_bus_message_exit_container(call);
	if (r >= 0)
		r = sd_bus_message_read(call, "u", &flags);
	if (r < 0)
		return r;
	uid = sender_uid(sd_bus_message_get_bus(call), sender);
	find_answer(uid, action, answer);
	note(uid, action, vm);
	if (late)
		(void)reply(late, "yes");
	late = sd_bus_message_unref(late);
	if (strcmp(answer, "late") == 0)
		late = sd_bus_message_ref(call);
	if (late || strcmp(answer, "never") == 0)
		return 1;
	if (strcmp(answer, "ask") == 0 && (flags & 1))
		strcpy(answer, "yes");
	return reply(call, answer);
}

static int cancel(sd_bus_message *call, void *data, sd_bus_error *error)
{
	note(0, "cancelled", "-");
	return sd_bus_reply_method_return(call, "");
}

static const sd_bus_vtable polkit[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", check_authorisation,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("CancelCheckAuthorization", "s", "", cancel, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

/* ---- The bus ---- */

static int connect_bus(const char *address, sd_bus **ret_bus)
{
	int r;

	r = sd_bus_new(ret_bus);
	if (r >= 0)
		r = sd_bus_set_address(*ret_bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(*ret_bus, 1);
	return r >= 0 ? sd_bus_start(*ret_bus) : r;
}

static int serve(sd_bus *bus)
{
	int r;

	r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/PolicyKit1/Authority",
				     "org.freedesktop.PolicyKit1.Authority", polkit, NULL);
	if (r >= 0)
		r = sd_bus_request_name(bus, "org.freedesktop.PolicyKit1", 0);
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	return r;
}

int main(int argc, char *argv[])
{
	CLEANUP(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	int r;

	if (argc != 3)
		return 2;
	folder = argv[2];
	r = connect_bus(argv[1], &bus);
	if (r >= 0)
		r = serve(bus);
	fprintf(stderr, "fake polkit: %s\n", strerror(-r));
	return 1;
}
