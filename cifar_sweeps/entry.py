"""Where the installed commands begin: Ctrl-C is answered before anything is imported that takes a while."""

from cifar_sweeps.system.signals import exit_on_interrupt, raise_on_interrupt


def cifar_train() -> None:
    """Run `cifar-train`; its own handling of signals begins once it is imported."""
    exit_on_interrupt()
    from cifar_sweeps.app import main

    main()


def cifar_sweeps() -> None:
    """Run `cifar-sweeps`, whose commands handle the KeyboardInterrupt of Ctrl-C by themselves."""
    exit_on_interrupt()
    from cifar_sweeps.cli.main import main

    raise_on_interrupt()
    main()
