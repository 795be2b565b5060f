/* bus.c: a mapped file that shrinks raises SIGBUS where its bytes are read; turn that into PKSM_EBUS.
 *
 * Every entry that reads page bytes sets a jump first (READING in core.h). Nothing is held while bytes are read,
 * so jumping out of a read leaves no tree half changed. */
#include "core.h"

#include <signal.h>

_Thread_local sigjmp_buf *pksm_bus_jump;

/* Who had the signal before. */
static struct sigaction before;

static void on_bus_error(int signum, siginfo_t *info, void *context)
{
    (void)context;
    if (pksm_bus_jump)
        siglongjmp(*pksm_bus_jump, 1);
    /* Not ours: the read that failed is tried again, and fails for whoever had the signal before. */
    sigaction(signum, &before, NULL);
    memset(&before, 0, sizeof before); /* SIG_DFL: one that hands the signal on to us must not get it twice */
    if (info->si_code <= 0)            /* sent, and no read of ours is tried again */
        raise(signum);
}

EXPORT int pksm_catch_bus_errors(void)
{
    struct sigaction now, action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_NODEFER | SA_SIGINFO;
    if (sigaction(SIGBUS, NULL, &now) != 0)
        return PKSM_EINVAL;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_bus_error)
        return PKSM_OK;
    before = now;
    return sigaction(SIGBUS, &action, NULL) == 0 ? PKSM_OK : PKSM_EINVAL;
}
