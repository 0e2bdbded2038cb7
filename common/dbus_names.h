/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names on the bus. docs/dbus/ has a page for each interface.
 */
#pragma once

#define DBUS_NAME              "org.vmms1"
#define DBUS_PATH              "/org/vmms1"
#define DBUS_VM_PREFIX         "/org/vmms1/vm"
#define DBUS_SWITCH_PREFIX     "/org/vmms1/switch"
#define DBUS_JOB_PREFIX        "/org/vmms1/job"
#define DBUS_INTERFACE_MANAGER "org.vmms1.Manager"
#define DBUS_INTERFACE_VM      "org.vmms1.VM"
#define DBUS_INTERFACE_SWITCH  "org.vmms1.Switch"
#define DBUS_INTERFACE_JOB     "org.vmms1.Job"

/* Calls that take or return descriptors have a name of their own, and are of this interface. */
#define DBUS_NAME_FILES      "org.vmms1.Files"
#define DBUS_INTERFACE_FILES "org.vmms1.Files"

/* Errors. Their names are stable; their messages are for people. */
#define DBUS_ERROR_PREFIX             "org.vmms1.Error."
#define DBUS_ERROR_NO_SUCH_VM         DBUS_ERROR_PREFIX "NoSuchVM"
#define DBUS_ERROR_EXISTS             DBUS_ERROR_PREFIX "Exists"
#define DBUS_ERROR_CONFLICT           DBUS_ERROR_PREFIX "Conflict"
#define DBUS_ERROR_INVALID_DEFINITION DBUS_ERROR_PREFIX "InvalidDefinition"
#define DBUS_ERROR_INVALID_ARGUMENT   DBUS_ERROR_PREFIX "InvalidArgument"
#define DBUS_ERROR_INVALID_STATE      DBUS_ERROR_PREFIX "InvalidState"
#define DBUS_ERROR_ALREADY_IN_STATE   DBUS_ERROR_PREFIX "AlreadyInState"
#define DBUS_ERROR_BUSY               DBUS_ERROR_PREFIX "Busy"
#define DBUS_ERROR_HOST_NOT_CAPABLE   DBUS_ERROR_PREFIX "HostNotCapable"
#define DBUS_ERROR_DISK_IN_USE        DBUS_ERROR_PREFIX "DiskInUse"
#define DBUS_ERROR_RESOURCE           DBUS_ERROR_PREFIX "Resource"
#define DBUS_ERROR_NO_SUCH_SWITCH     DBUS_ERROR_PREFIX "NoSuchSwitch"
#define DBUS_ERROR_NO_SUCH_CPU_GROUP  DBUS_ERROR_PREFIX "NoSuchCPUGroup"
#define DBUS_ERROR_NO_SUCH_ADAPTER    DBUS_ERROR_PREFIX "NoSuchAdapter"
#define DBUS_ERROR_NO_SUCH_DISK       DBUS_ERROR_PREFIX "NoSuchDisk"
#define DBUS_ERROR_NO_SUCH_JOB        DBUS_ERROR_PREFIX "NoSuchJob"
#define DBUS_ERROR_NO_SUCH_CHECKPOINT DBUS_ERROR_PREFIX "NoSuchCheckpoint"
#define DBUS_ERROR_CANCELLED          DBUS_ERROR_PREFIX "Cancelled"
#define DBUS_ERROR_NO_SUCH_VALUE      DBUS_ERROR_PREFIX "NoSuchValue"
#define DBUS_ERROR_GUEST_REFUSED      DBUS_ERROR_PREFIX "GuestRefused"
#define DBUS_ERROR_NOT_CONNECTED      DBUS_ERROR_PREFIX "NotConnected"
#define DBUS_ERROR_TIMEOUT            DBUS_ERROR_PREFIX "Timeout"
#define DBUS_ERROR_UNREACHABLE        DBUS_ERROR_PREFIX "Unreachable"
#define DBUS_ERROR_WORKER_FAILED      DBUS_ERROR_PREFIX "WorkerFailed"
#define DBUS_ERROR_STORE              DBUS_ERROR_PREFIX "Store"
#define DBUS_ERROR_INTERNAL           DBUS_ERROR_PREFIX "Internal"
