/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that are read as they are at one instant, over the control socket. */
#include "vmwp/control/control_backup.h"

#include "common/base/cleanup.h"
#include "vmwp/control/control_devices.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/control_state.h"
#include "vmwp/control/worker.h"
#include "vmwp/device/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct control_backup {
	struct worker *worker;
	struct disk_backup *disks;
	void *ticket;   /* of the request that is not answered yet; or NULL */
	bool paused;    /* by this; else the VM stands by somebody's word */
	bool quiescing; /* or has begun, and is not done */
	bool abandoned; /* meanwhile */
};

void control_backup_free(struct control_backup *backup)
{
	if (!backup)
		return;
	disk_backup_free(backup->disks);
	free(backup);
}

/* ---- The end ---- */

static void backup_ended(void *data)
{
	struct control_backup *backup = data;
	struct reply reply = { 0 };

	backup->worker->backup = NULL;
	if (backup->ticket)
		control_server_answer(backup->ticket, &reply);
	free(backup);
}

static void backup_end(struct control_backup *backup, bool complete)
{
	disk_backup_end(backup->disks, complete, backup_ended, backup);
}

/* One that has begun, and has not been ended. NULL: the reply says so. */
static struct control_backup *backup_get(struct call *call)
{
	struct control_backup *backup = call->worker->backup;

	if (backup && !backup->quiescing && !backup->ticket && !backup->abandoned)
		return backup;
	reply_error(call->reply, CONTROL_ERROR_INVALID_STATE, "There is no backup.");
	return NULL;
}

void control_backup_serve(struct call *call, const struct control_arguments *arguments)
{
	struct control_backup *backup = backup_get(call);
	int r;

	if (!backup)
		return;
	r = disk_backup_serve(backup->disks, TAKE_FD(call->request->fds[0]), arguments->releases);
	if (r == -EALREADY)
		reply_error(call->reply, CONTROL_ERROR_INVALID_STATE,
			    "The backup is served already.");
	else if (r < 0)
		reply_error(call->reply, CONTROL_ERROR_FAILED, "%s", strerror(-r));
}

void control_backup_end(struct call *call, const struct control_arguments *arguments)
{
	struct control_backup *backup = backup_get(call);

	if (!backup)
		return;
	backup->ticket = control_server_defer(call->server, call->request->id);
	if (!backup->ticket) {
		reply_error(call->reply, CONTROL_ERROR_FAILED, "%s", strerror(ENOMEM));
		return;
	}
	call->reply->later = true;
	backup_end(backup, arguments->complete);
}

void control_backup_abandon(struct worker *worker)
{
	struct control_backup *backup = worker->backup;

	if (!backup || backup->abandoned)
		return;
	backup->abandoned = true;
	if (!backup->quiescing && !backup->ticket)
		backup_end(backup, false);
}

/* ---- The beginning ---- */

/* The devices go on, and the guest if it ran before. One that is being stopped stays so. */
static void backup_let_go(struct control_backup *backup)
{
	struct worker *worker = backup->worker;

	if (machine_state(worker->machine) != MACHINE_PAUSED)
		return;
	if (backup->paused) {
		(void)!machine_resume(worker->machine);
	} else {
		devices_resume(worker->devices);
		devices_pause(worker->devices);
	}
}

static void backup_refuse(struct control_backup *backup, int result)
{
	struct reply reply = { 0 };

	if (result == -EBUSY)
		reply_error(&reply, CONTROL_ERROR_BUSY,
			    "The disks cannot be backed up now: requests are under way that the "
			    "host does not answer, or the VM is being saved.");
	else
		reply_error(&reply, CONTROL_ERROR_FAILED, "The disks cannot be backed up: %s.",
			    strerror(-result));
	control_server_answer(TAKE_PTR(backup->ticket), &reply);
}

static void backup_begun(void *data, int result)
{
	struct control_backup *backup = data;
	struct reply reply = { .result = NULL };

	backup->quiescing = false;
	if (backup->abandoned && result == 0)
		result = -ECANCELED;
	if (result < 0) {
		backup_refuse(backup, result);
		backup_end(backup, false);
		return;
	}
	reply.result = json_make("disks", disk_backup_report(backup->disks), NULL);
	control_server_answer(TAKE_PTR(backup->ticket), &reply);
}

static void backup_is_quiet(void *data)
{
	struct control_backup *backup = data;

	if (machine_state(backup->worker->machine) != MACHINE_PAUSED) {
		backup_begun(backup, -ECANCELED);
		return;
	}
	disk_backup_begin(backup->disks, backup_begun, backup);
	backup_let_go(backup);
}

static void backup_start(struct control_backup *backup)
{
	struct worker *worker = backup->worker;

	backup->quiescing = true;
	if (control_state_is_saved(worker)) {
		backup_begun(backup, -EBUSY);
		return;
	}
	backup->paused = machine_pause(worker->machine) == 0;
	if (machine_state(worker->machine) != MACHINE_PAUSED) {
		backup_begun(backup, -EBUSY);
		return;
	}
	devices_quiesce(worker->devices, backup_is_quiet, backup);
}

void control_backup_begin(struct call *call, const struct control_arguments *arguments)
{
	struct disk_backup_options options = {
		.disks = devices_get(call->worker->devices, DEVICE_STORAGE),
		.loop = call->worker->loop,
		.places = arguments->disks,
		.scratch_max = arguments->size,
	};
	struct control_backup *backup;
	struct failure failure = { 0 };
	int r;

	if (call->worker->backup || call->worker->fork) {
		reply_error(call->reply, CONTROL_ERROR_BUSY,
			    "There is a backup or a checkpoint under way.");
		return;
	}
	if (guid_parse(arguments->point, &options.point) < 0) {
		reply_error(call->reply, CONTROL_ERROR_INVALID, "point: is not a GUID");
		return;
	}
	backup = calloc(1, sizeof(*backup));
	r = backup ? disk_backup_new(&options, call->request->fds, call->request->fd_count,
				     &backup->disks, &failure)
		   : -ENOMEM;
	if (r == 0)
		backup->ticket = control_server_defer(call->server, call->request->id);
	if (r || !backup->ticket) {
		control_disk_reply_error(call->reply, r ? r : -ENOMEM, &failure);
		control_backup_free(backup);
		return;
	}
	backup->worker = call->worker;
	call->reply->later = true;
	call->worker->backup = backup;
	backup_start(backup);
}
