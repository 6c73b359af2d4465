namespace Millrace.Routing;

/// <summary>
/// How routes stand behind each other, and so the rules that they feed: a route with inputs takes what those routes
/// forward and what their rules write, instead of what is received. Inputs stand above the route that names them, so
/// routes cannot run in a circle; rules can, where one of them stands in several routes (<see cref="Circle"/>).
/// A function of the configuration alone.
/// </summary>
internal sealed class RouteChain
{
    /// <summary>The most routes, and the most rules, of which each takes what the one before gives.</summary>
    public const int MaxDepth = 8;

    private readonly int[][] _followers;         // by route
    private readonly int[][] _rules;             // by route
    private readonly bool[] _passesOn;           // by route
    private readonly SortedSet<int>[] _upstream; // by rule

    /// <param name="routes">In the order of the file.</param>
    /// <param name="ruleNames">By rule; several may share one.</param>
    public RouteChain(IReadOnlyList<RouteConfig> routes, IReadOnlyList<string> ruleNames)
    {
        var heads = new List<int>();
        _followers = new int[routes.Count][];
        _rules = new int[routes.Count][];
        _passesOn = new bool[routes.Count];
        _upstream = new SortedSet<int>[ruleNames.Count];
        for (var rule = 0; rule < _upstream.Length; rule++)
        {
            _upstream[rule] = [];
        }
        for (var route = 0; route < routes.Count; route++)
        {
            _rules[route] = RulesOf(routes[route], ruleNames);
            _passesOn[route] = PassesOn(routes[route], _rules[route].Length > 0);
            _followers[route] = FollowersOf(route, routes);
            IsEmpty &= routes[route].Inputs.Count == 0;
            if (routes[route].Inputs.Count == 0)
            {
                heads.Add(route);
            }
        }
        Heads = [.. heads];
        if (!IsEmpty)
        {
            FindUpstream();
        }
    }

    /// <summary>No route takes what another gives.</summary>
    public bool IsEmpty { get; } = true;

    /// <summary>The routes of what is received, in order.</summary>
    public int[] Heads { get; }

    /// <summary>The routes that take what a route gives, in order.</summary>
    public int[] Followers(int route) => _followers[route];

    /// <summary>The rules that a route feeds, in order.</summary>
    public int[] Rules(int route) => _rules[route];

    /// <summary>The rules whose outputs may come to a rule by the routes that feed it.</summary>
    public IReadOnlySet<int> Upstream(int rule) => _upstream[rule];

    /// <summary>
    /// The routes whose destinations get what a rule writes: those that feed it, and those behind them that pass it on.
    /// </summary>
    public SortedSet<int> RoutesOfOutputs(int rule)
    {
        var routes = new SortedSet<int>();
        for (var route = 0; route < _rules.Length; route++)
        {
            // Followers stand further down: what is found is still to be come to.
            if (Array.IndexOf(_rules[route], rule) >= 0)
            {
                routes.Add(route);
            }
            foreach (var follower in routes.Contains(route) ? _followers[route] : [])
            {
                if (_passesOn[follower])
                {
                    routes.Add(follower);
                }
            }
        }
        return routes;
    }

    /// <summary>Whether something of what comes to a route goes on from it, beside what its rules write.</summary>
    private static bool PassesOn(RouteConfig route, bool hasRules) =>
        !hasRules || route.KeepInput || !route.DropInput;

    /// <summary>Rules each of which takes what the one before writes, the first again at the end; null: none.</summary>
    public IReadOnlyList<int>? Circle()
    {
        var isDone = new bool[_upstream.Length];
        for (var rule = 0; rule < _upstream.Length; rule++)
        {
            if (CircleFrom(rule, [], isDone) is { } circle)
            {
                return circle;
            }
        }
        return null;
    }

    /// <summary>The most routes or rules in a row. Only where rules do not run in a circle.</summary>
    public int Depth()
    {
        var deepest = 0;
        var routes = new int[_followers.Length];
        for (var route = routes.Length - 1; route >= 0; route--)
        {
            foreach (var follower in _followers[route])
            {
                routes[route] = Math.Max(routes[route], routes[follower]);
            }
            deepest = Math.Max(deepest, ++routes[route]);
        }
        var rules = new int[_upstream.Length];
        for (var rule = 0; rule < rules.Length; rule++)
        {
            deepest = Math.Max(deepest, DepthOf(rule, rules));
        }
        return deepest;
    }

    private int DepthOf(int rule, int[] depths)
    {
        if (depths[rule] == 0)
        {
            var before = 0;
            foreach (var upstream in _upstream[rule])
            {
                before = Math.Max(before, DepthOf(upstream, depths));
            }
            depths[rule] = before + 1;
        }
        return depths[rule];
    }

    private List<int>? CircleFrom(int rule, List<int> path, bool[] isDone)
    {
        var at = path.IndexOf(rule);
        if (at >= 0)
        {
            List<int> circle = [.. path[at..], rule];
            circle.Reverse(); // The path goes upstream.
            return circle;
        }
        if (isDone[rule])
        {
            return null;
        }
        path.Add(rule);
        foreach (var upstream in _upstream[rule])
        {
            if (CircleFrom(upstream, path, isDone) is { } circle)
            {
                return circle;
            }
        }
        path.RemoveAt(path.Count - 1);
        isDone[rule] = true;
        return null;
    }

    /// <summary>Inputs stand above: what is in front of them is known when a route is come to.</summary>
    private void FindUpstream()
    {
        var inFront = new SortedSet<int>[_followers.Length];
        for (var route = 0; route < inFront.Length; route++)
        {
            inFront[route] = [];
            for (var input = 0; input < route; input++)
            {
                if (Array.IndexOf(_followers[input], route) < 0)
                {
                    continue;
                }
                inFront[route].Add(input);
                if (_passesOn[input])
                {
                    inFront[route].UnionWith(inFront[input]);
                }
            }
            foreach (var rule in _rules[route])
            {
                foreach (var input in inFront[route])
                {
                    _upstream[rule].UnionWith(_rules[input]);
                }
            }
        }
    }

    private static int[] FollowersOf(int route, IReadOnlyList<RouteConfig> routes)
    {
        var followers = new List<int>();
        for (var i = route + 1; i < routes.Count; i++)
        {
            if (Contains(routes[i].Inputs, routes[route].Name))
            {
                followers.Add(i);
            }
        }
        return [.. followers];
    }

    private static int[] RulesOf(RouteConfig route, IReadOnlyList<string> ruleNames)
    {
        var rules = new List<int>();
        for (var i = 0; i < ruleNames.Count; i++)
        {
            if (route.Aggregate && (route.AggregateRules is null || Contains(route.AggregateRules, ruleNames[i])))
            {
                rules.Add(i);
            }
        }
        return [.. rules];
    }

    private static bool Contains(IReadOnlyList<string> names, string name)
    {
        foreach (var candidate in names)
        {
            if (candidate == name)
            {
                return true;
            }
        }
        return false;
    }
}
