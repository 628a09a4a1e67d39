/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notify.h - tells systemd about the state of the service, as sd_notify(3) describes
 */
#ifndef COWBD_NOTIFY_H
#define COWBD_NOTIFY_H

/* Sends "READY=1", "STOPPING=1" ... to $NOTIFY_SOCKET; without one does nothing.  Errors are
 * of no consequence to us and are ignored. */
void notify(const char *state);

#endif
