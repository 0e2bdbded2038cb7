/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager on a message bus: org.vmms1 and the objects below /org/vmms1.
 *
 * docs/dbus/ has a page for each interface. Every method call, whatever it is for, passes one check
 * of its caller first (vmms/bus/dbus_access.h). Should the bus go away, the VMs stay, and it is
 * tried again.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vmms/base/bus_connection.h"
#include "vmms/vm/manager.h"

#include <systemd/sd-bus.h>

struct dbus_service;
struct host_report;

/*
 * Connects, and serves the manager under its name. All is borrowed. Return: 0; -EEXIST: the name
 * has an owner; -errno.
 */
int dbus_service_new(struct manager *manager, struct host_report *report,
		     const struct dbus_settings *settings,
		     struct dbus_service **ret_service) MUST_CHECK;
void dbus_service_free(struct dbus_service *service);
DEFINE_CLEANUP(struct dbus_service *, dbus_service_free)

/* For the manager's observer (vmms/vm/manager.h). */
void dbus_vm_added(struct dbus_service *service, struct vm *vm);
void dbus_vm_removed(struct dbus_service *service, struct vm *vm);
void dbus_vm_changed(struct dbus_service *service, struct vm *vm, const char *const *properties);
void dbus_vm_logged(struct dbus_service *service, struct vm *vm, const struct vm_log_entry *entry);
void dbus_broken_changed(struct dbus_service *service);
void dbus_guests_stopped(struct dbus_service *service);

/* For the observer of the jobs (vmms/vm/job.h). */
void dbus_job_added(struct dbus_service *service, struct job *job);
void dbus_job_removed(struct dbus_service *service, struct job *job);
void dbus_job_changed(struct dbus_service *service, struct job *job, const char *const *properties);

/* For the observer of the switches (vmms/network/vswitches.h). */
void dbus_switch_added(struct dbus_service *service, struct vswitch *vswitch);
void dbus_switch_removed(struct dbus_service *service, struct vswitch *vswitch);
void dbus_switch_changed(struct dbus_service *service, struct vswitch *vswitch);
