# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_autossm_global_optspecs
    string join \n h/help V/version
end

function __fish_autossm_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_autossm_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_autossm_using_subcommand
    set -l cmd (__fish_autossm_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c autossm -n "__fish_autossm_needs_command" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_needs_command" -s V -l version -d 'Print version'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "run" -d 'Hold the configured sessions until told to stop (the daemon, in the foreground)'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "check" -d 'Validate the configuration and show what it means'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "status" -d 'Show the daemon\'s sessions'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "history" -d 'Show the last drops, and how long each took'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "reconnect" -d 'Drop a session\'s connection, or all of them, and attach again at once'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "restart" -d 'End a session and start a new one; its local connections are reset'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "start" -d 'Start a session that was stopped'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "stop" -d 'End a session and stop listening until it is started'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "reload" -d 'Make the daemon read its configuration again; unchanged sessions are not touched'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "wait" -d 'Wait until a session is in a phase'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "attach" -d 'Connect this terminal to a shell; detaching leaves it running'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "adopt" -d 'Take over a shell that another client has left, and connect this terminal to it'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "exec" -d 'Run a command on a target: its output, and its exit code'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "proxy" -d 'Carry standard input and output to a port of a target: ssh\'s ProxyCommand'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "ssh-config" -d 'Print what makes ssh use it, for ~/.ssh/config'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "sessions" -d 'Show the sessions AWS has, which of them the daemon holds, and which nobody does'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "doctor" -d 'Look whether all is right that a session needs, and say what to do where it is not'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "events" -d 'Show what happens, one JSON object a line'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "log-level" -d 'Show or change what the daemon logs, until it is started again'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "service" -d 'Install autossm as a systemd service, remove it, or show how it stands'
complete -c autossm -n "__fish_autossm_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c autossm -n "__fish_autossm_using_subcommand run" -l config -d 'The configuration, a file or a directory [default: ~/.config/autossm, or else /etc/autossm]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand run" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand run" -l log -d 'off, error, warn, info, debug or trace, or directives such as autossm::aws=debug [default: the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand run" -l log-format -d 'human, json, or auto: what suits where the log goes [default: the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand run" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand check" -l config -d 'The configuration, a file or a directory [default: ~/.config/autossm, or else /etc/autossm]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand check" -l schema -d 'Print the JSON schema of the configuration instead, for editors'
complete -c autossm -n "__fish_autossm_using_subcommand check" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand status" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand status" -l json -d 'JSON for programs: one document, or with --watch one a line'
complete -c autossm -n "__fish_autossm_using_subcommand status" -l watch -d 'Show it again every second'
complete -c autossm -n "__fish_autossm_using_subcommand status" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand history" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand history" -l json -d 'One JSON document for programs'
complete -c autossm -n "__fish_autossm_using_subcommand history" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand reconnect" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand reconnect" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand restart" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand restart" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand start" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand start" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand stop" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand stop" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand reload" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand reload" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand wait" -l for -d 'up (attached), stopped, dormant, starting, handshaking, reattaching, awaiting_login, awaiting_target or ended' -r
complete -c autossm -n "__fish_autossm_using_subcommand wait" -l timeout -d 'How long; 0s only looks' -r
complete -c autossm -n "__fish_autossm_using_subcommand wait" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand wait" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand attach" -l document -d 'The document of a shell that is started [default: the account\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand attach" -l parameter -d 'A parameter of that document; may be given several times' -r
complete -c autossm -n "__fish_autossm_using_subcommand attach" -l profile -d 'The profile of AWS\'s shared configuration [default: AWS_PROFILE, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand attach" -l region -d 'The region [default: AWS_REGION, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand attach" -l endpoint-url -d 'Another endpoint for the ssm service [default: AWS_ENDPOINT_URL_SSM, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand attach" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand attach" -l read-only -d 'Only look: nothing that is typed is passed on'
complete -c autossm -n "__fish_autossm_using_subcommand attach" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand adopt" -l profile -d 'The profile of AWS\'s shared configuration [default: AWS_PROFILE, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand adopt" -l region -d 'The region [default: AWS_REGION, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand adopt" -l endpoint-url -d 'Another endpoint for the ssm service [default: AWS_ENDPOINT_URL_SSM, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand adopt" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand adopt" -l read-only -d 'Only look: nothing that is typed is passed on'
complete -c autossm -n "__fish_autossm_using_subcommand adopt" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand exec" -l profile -d 'The profile of AWS\'s shared configuration [default: AWS_PROFILE, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand exec" -l region -d 'The region [default: AWS_REGION, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand exec" -l endpoint-url -d 'Another endpoint for the ssm service [default: AWS_ENDPOINT_URL_SSM, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand exec" -l config -d 'The configuration, a file or a directory [default: ~/.config/autossm, or else /etc/autossm]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand exec" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand exec" -l durable -d 'Survive every drop: its two outputs come as one, with a checksum'
complete -c autossm -n "__fish_autossm_using_subcommand exec" -s i -l interactive -d 'In a terminal, with what is typed here'
complete -c autossm -n "__fish_autossm_using_subcommand exec" -l no-daemon -d 'Hold the session in this process, whether a daemon runs or not'
complete -c autossm -n "__fish_autossm_using_subcommand exec" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand proxy" -l profile -d 'The profile of AWS\'s shared configuration [default: AWS_PROFILE, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand proxy" -l region -d 'The region [default: AWS_REGION, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand proxy" -l endpoint-url -d 'Another endpoint for the ssm service [default: AWS_ENDPOINT_URL_SSM, or the configuration\'s]' -r
complete -c autossm -n "__fish_autossm_using_subcommand proxy" -l config -d 'The configuration, a file or a directory [default: ~/.config/autossm, or else /etc/autossm]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand proxy" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand proxy" -l no-daemon -d 'Hold the session in this process, whether a daemon runs or not'
complete -c autossm -n "__fish_autossm_using_subcommand proxy" -s v -l verbose -d 'Tell on standard error what happens to the session that this process holds'
complete -c autossm -n "__fish_autossm_using_subcommand proxy" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand ssh-config" -l user -d 'The user to log in as' -r
complete -c autossm -n "__fish_autossm_using_subcommand ssh-config" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand sessions" -l config -d 'The configuration, a file or a directory [default: ~/.config/autossm, or else /etc/autossm]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand sessions" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand sessions" -l all -d 'Those of others as well'
complete -c autossm -n "__fish_autossm_using_subcommand sessions" -l json -d 'One JSON document for programs'
complete -c autossm -n "__fish_autossm_using_subcommand sessions" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand doctor" -l config -d 'The configuration, a file or a directory [default: ~/.config/autossm, or else /etc/autossm]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand doctor" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand events" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand events" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand log-level" -l socket -d 'The daemon\'s control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]' -r -F
complete -c autossm -n "__fish_autossm_using_subcommand log-level" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status help" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status help" -f -a "install" -d 'Write the unit that runs this program; nothing is enabled or started unless that is asked for'
complete -c autossm -n "__fish_autossm_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status help" -f -a "uninstall" -d 'Terminate the service\'s sessions, stop it and remove what `install` has written'
complete -c autossm -n "__fish_autossm_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status help" -f -a "status" -d 'Show the unit, and how the service stands'
complete -c autossm -n "__fish_autossm_using_subcommand service; and not __fish_seen_subcommand_from install uninstall status help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from install" -l user -d 'Whom the system\'s service is for: with --enable and --now' -r
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from install" -l enable -d 'Start it with each login (or, with --system, each boot)'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from install" -l now -d 'The same, and start it now'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from install" -l strict -d 'With the strictest sandbox; needs user namespaces, and breaks some credential helpers'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from install" -l system -d 'The system\'s own service manager, with a service for each of its users that needs one'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from uninstall" -l system -d 'The system\'s own service manager, with a service for each of its users that needs one'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from status" -l system -d 'The system\'s own service manager, with a service for each of its users that needs one'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "install" -d 'Write the unit that runs this program; nothing is enabled or started unless that is asked for'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Terminate the service\'s sessions, stop it and remove what `install` has written'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the unit, and how the service stands'
complete -c autossm -n "__fish_autossm_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "run" -d 'Hold the configured sessions until told to stop (the daemon, in the foreground)'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "check" -d 'Validate the configuration and show what it means'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "status" -d 'Show the daemon\'s sessions'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "history" -d 'Show the last drops, and how long each took'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "reconnect" -d 'Drop a session\'s connection, or all of them, and attach again at once'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "restart" -d 'End a session and start a new one; its local connections are reset'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "start" -d 'Start a session that was stopped'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "stop" -d 'End a session and stop listening until it is started'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "reload" -d 'Make the daemon read its configuration again; unchanged sessions are not touched'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "wait" -d 'Wait until a session is in a phase'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "attach" -d 'Connect this terminal to a shell; detaching leaves it running'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "adopt" -d 'Take over a shell that another client has left, and connect this terminal to it'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "exec" -d 'Run a command on a target: its output, and its exit code'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "proxy" -d 'Carry standard input and output to a port of a target: ssh\'s ProxyCommand'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "ssh-config" -d 'Print what makes ssh use it, for ~/.ssh/config'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "sessions" -d 'Show the sessions AWS has, which of them the daemon holds, and which nobody does'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "doctor" -d 'Look whether all is right that a session needs, and say what to do where it is not'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "events" -d 'Show what happens, one JSON object a line'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "log-level" -d 'Show or change what the daemon logs, until it is started again'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "service" -d 'Install autossm as a systemd service, remove it, or show how it stands'
complete -c autossm -n "__fish_autossm_using_subcommand help; and not __fish_seen_subcommand_from run check status history reconnect restart start stop reload wait attach adopt exec proxy ssh-config sessions doctor events log-level service help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c autossm -n "__fish_autossm_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "install" -d 'Write the unit that runs this program; nothing is enabled or started unless that is asked for'
complete -c autossm -n "__fish_autossm_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "uninstall" -d 'Terminate the service\'s sessions, stop it and remove what `install` has written'
complete -c autossm -n "__fish_autossm_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "status" -d 'Show the unit, and how the service stands'
