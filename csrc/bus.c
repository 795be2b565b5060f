/* bus.c: a mapped file that shrinks raises SIGBUS where its bytes are read; turn that into PKSM_EBUS.
 *
 * Every entry that reads page bytes sets a jump first (READING in core.h). Nothing is held while bytes are read,
 * so jumping out of a read leaves no tree half changed. */
#include "core.h"

#include <signal.h>

_Thread_local sigjmp_buf *pksm_bus_jump;

static void on_bus_error(int signum)
{
    if (pksm_bus_jump)
        siglongjmp(*pksm_bus_jump, 1);
    /* not ours: let it end the process as if we weren't here */
    signal(signum, SIG_DFL);
}

EXPORT int pksm_catch_bus_errors(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_bus_error;
    action.sa_flags = SA_NODEFER;
    return sigaction(SIGBUS, &action, NULL) == 0 ? PKSM_OK : PKSM_EINVAL;
}
