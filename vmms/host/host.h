/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host as the service sees it: its processors, memory and network interfaces, what a process of
 * ours takes of them, and what stands in the way of running VMs.
 */
#pragma once

#include "vmms/host/host_check_service.h"
#include "vmms/host/host_cpus.h"
#include "vmms/host/host_memory.h"
#include "vmms/host/host_report.h"
#include "vmms/host/interface_owner.h"
#include "vmms/host/process_usage.h"
